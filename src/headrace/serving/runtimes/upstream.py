"""What runtimes without a model of their own have in common: a service elsewhere that answers.

Called by remote.py and legacy.py, which each say how a call is written and an answer read. Decides how long a call may
take, that it is sent once, and whose word is believed: none of the service's errors is the caller's fault, since the
inputs have passed the signature. Nothing is asked of the service when a package is loaded: a data plane starts, and
keeps its plan, also while the service is away.
"""

from __future__ import annotations

import asyncio
import os
import re
from abc import ABC, abstractmethod
from asyncio import Future
from pathlib import Path
from typing import TypeVar

import msgspec

from headrace.compute.upstream import Response, Upstream
from headrace.serving.runtimes.base import Form, Inputs, Outputs
from headrace.types.errors import HeadraceError, ModelRefused, TimedOut, UpstreamError
from headrace.types.model import Package, Signature
from headrace.types.upstream import SECRET_PREFIX, Legacy, Remote, SecretHeader

T = TypeVar("T", Remote, Legacy)
_BUSY = (429, 503)
_QUOTED = 300  # characters of what a service said


class UpstreamModel(ABC):
    form = Form()

    def __init__(self, what: Remote | Legacy, signature: Signature) -> None:
        self.instances = what.connections
        self.signature = signature
        url, mark, query = what.url.partition("?")  # which may hold a key: it is not shown
        self.name = f"the service at {url}"
        self._query = mark + query
        self._seconds = what.timeout_seconds
        self._secret = secret_of(what.secret)
        self._service = Upstream(self.name, url, connections=what.connections)

    @abstractmethod
    async def call(self, inputs: Inputs) -> Outputs:
        """Raises UpstreamError, TimedOut."""

    def quick(self, rows: int) -> bool:
        return False

    async def scale(self, instances: int) -> None:  # noqa: B027 -- it is not ours to scale
        """How many it runs is that service's own business."""

    async def warm(self, inputs: Inputs) -> Outputs:
        return await self.call(inputs)

    def run(self, inputs: Inputs) -> Future[Outputs]:
        return asyncio.ensure_future(self.call(inputs))

    async def close(self) -> None:
        await self._service.close()

    async def ask(self, path: str, headers: dict[str, str], body: bytes, inputs: Inputs) -> Response:
        left = inputs.deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise TimedOut(f"the call came to {self.name} after its time")
        seconds = min(self._seconds, left)
        more = self._secret if inputs.travels is None else self._secret | inputs.travels
        response = await self._service.post(path + self._query, headers | more, body, seconds=seconds)
        if response.status != 200:
            raise self._refused(response)
        return response

    def odd(self, what: str) -> UpstreamError:
        return UpstreamError(f"{self.name} answered with what was not asked for: {what}")

    def _refused(self, response: Response) -> HeadraceError:
        said = " ".join(response.body[:_QUOTED].decode("utf-8", "replace").split())
        wait = response.headers.get("retry-after", "")
        seconds = float(wait) if re.fullmatch(r"\d{1,5}", wait) else 1.0
        return UpstreamError(
            f"{self.name} answered with status {response.status}: {said or 'no words'}",
            retry_after=seconds if response.status in _BUSY else None,
        )


def read_description(folder: Path, name: str, kind: type[T], package: Package) -> T:
    """Raises ModelRefused."""
    try:
        return msgspec.json.decode((folder / name).read_bytes(), type=kind)
    except FileNotFoundError as error:
        raise ModelRefused(f"package {package.id[:12]} has no {name}", field="package") from error
    except msgspec.MsgspecError as error:
        raise ModelRefused(f"package {package.id[:12]}: {name} cannot be read: {error}", field="package") from error


def secret_of(secret: SecretHeader | None) -> dict[str, str]:
    """Raises ModelRefused when the environment has none; the value itself is never shown."""
    if secret is None:
        return {}
    if not secret.env.startswith(SECRET_PREFIX):
        raise ModelRefused(
            f"secret.env is {secret.env!r}; allowed: names that start with {SECRET_PREFIX}", field="secret"
        )
    value = os.environ.get(secret.env, "")
    if not value or not value.isprintable():
        raise ModelRefused(
            f"the environment variable {secret.env!r} is {'not one line' if value else 'not set'} in this data plane",
            field="secret",
            hint=f"start headrace with {secret.env}=…",
        )
    return {secret.header: f"{secret.scheme} {value}".strip()}
