"""Somebody else's word: a URL, or a function that a package registers under the entry point group headrace.policies.

Either gets the facts of the release (base.Trial.facts) and says yes or no with a reason. A policy that cannot be asked
says no: whoever set it wants it heard. A URL gets them as JSON by POST and answers {"allow": true, "reason": "…"}; a
function gets them as a dict and returns (allow, reason).
"""

from __future__ import annotations

import asyncio
from importlib.metadata import entry_points
from typing import Any

import msgspec

from headrace.compute.upstream import Upstream, parse_url
from headrace.release.gates.base import Trial, failed, passed, register, skipped
from headrace.types.errors import BadInput, HeadraceError, UpstreamError
from headrace.types.gate import GateResult

NAME = "policy"
GROUP = "headrace.policies"
SECONDS = 15.0
_MOST = 64 << 10  # bytes of an answer


class _Answer(msgspec.Struct):
    allow: bool
    reason: str = ""


def policy(trial: Trial) -> GateResult:
    which = trial.wanted.policy
    if not which:
        return skipped(NAME, "no policy is set")
    try:
        allow, reason = asyncio.run(_post(which, trial.facts())) if _is_url(which) else _call(which, trial.facts())
    except HeadraceError as error:
        return failed(NAME, f"policy {which!r} cannot be asked: {error.sentence()}")
    told = reason or "without a reason"
    return passed(NAME, f"{which} says yes: {told}") if allow else failed(NAME, f"{which} says no: {told}")


def check_policy(which: str) -> None:
    """Raises BadInput for one that can never be asked."""
    if not which:
        return
    if _is_url(which):
        parse_url(which)
    elif which not in (there := {point.name for point in entry_points(group=GROUP)}):
        known = ", ".join(sorted(there)) or "none"
        raise BadInput(
            f"gates.policy is {which!r}; allowed: a URL, or an entry point of {GROUP}; there are: {known}",
            field="gates.policy",
        )


def _is_url(which: str) -> bool:
    return which.startswith(("http://", "https://"))


async def _post(url: str, facts: dict[str, Any]) -> tuple[bool, str]:
    where = parse_url(url)
    path = (where.path or "/") + (f"?{where.query}" if where.query else "")
    upstream = Upstream("the policy", f"{where.scheme}://{where.netloc}", connections=1, max_body=_MOST)
    try:
        headers = {"content-type": "application/json", "accept": "application/json"}
        response = await upstream.post(path, headers, msgspec.json.encode(facts), seconds=SECONDS)
    finally:
        await upstream.close()
    if response.status != 200:
        raise UpstreamError(f"it answered {response.status}")
    try:
        answer = msgspec.json.decode(response.body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamError(f"it answered {response.body[:80]!r}: {error}") from error
    return answer.allow, answer.reason


def _call(name: str, facts: dict[str, Any]) -> tuple[bool, str]:
    found = next(iter(entry_points(group=GROUP, name=name)), None)
    if found is None:
        raise BadInput(f"no package registers {name!r} under {GROUP}", hint="install it beside the control plane")
    try:
        allow, reason = found.load()(facts)
    except Exception as error:  # somebody else's code: whatever it raises is a no
        raise UpstreamError(f"{type(error).__name__}: {error}") from error
    return bool(allow), str(reason)


register(NAME, policy)
