"""Code of somebody else that the engine asks: at a URL, or a function that a package registers as an entry point.

Called by gates/policy.py and judge.py. Decides how it is reached and what may go wrong there. Ignores what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, TypeVar

import msgspec

from headrace.compute.upstream import Upstream, parse_url
from headrace.types.errors import BadInput, UpstreamError

_MOST = 64 << 10  # bytes of an answer

Answer = TypeVar("Answer")


def is_url(which: str) -> bool:
    return which.startswith(("http://", "https://"))


def check(which: str, *, group: str, field: str) -> None:
    """Raises BadInput for one that can never be asked."""
    if not which:
        return
    if is_url(which):
        parse_url(which)
    elif which not in (there := {point.name for point in entry_points(group=group)}):
        known = ", ".join(sorted(there)) or "none"
        raise BadInput(
            f"{field} is {which!r}; allowed: a URL, or an entry point of {group}; there are: {known}", field=field
        )


def post(url: str, facts: dict[str, Any], kind: type[Answer], *, name: str, seconds: float) -> Answer:
    """`facts` as JSON by POST; what comes back is JSON of this kind. Raises UpstreamError."""
    return asyncio.run(_post(url, facts, kind, name, seconds))


def function(name: str, *, group: str) -> Callable[..., Any]:
    found = next(iter(entry_points(group=group, name=name)), None)
    if found is None:
        raise BadInput(f"no package registers {name!r} under {group}", hint="install it beside the control plane")
    try:
        loaded: Callable[..., Any] = found.load()
    except (ImportError, AttributeError) as error:
        raise UpstreamError(f"{name!r} of {group} cannot be loaded: {error}") from error
    return loaded


async def _post(url: str, facts: dict[str, Any], kind: type[Answer], name: str, seconds: float) -> Answer:
    where = parse_url(url)
    path = (where.path or "/") + (f"?{where.query}" if where.query else "")
    upstream = Upstream(name, f"{where.scheme}://{where.netloc}", connections=1, max_body=_MOST)
    try:
        headers = {"content-type": "application/json", "accept": "application/json"}
        response = await upstream.post(path, headers, msgspec.json.encode(facts), seconds=seconds)
    finally:
        await upstream.close()
    if response.status != 200:
        raise UpstreamError(f"it answered {response.status}")
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamError(f"it answered {response.body[:80]!r}: {error}") from error
