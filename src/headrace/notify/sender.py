"""One message, sent once: the address, the signature, and what came back.

Called by deliver.py and hooks.py. Upstream rules hold here too (compute/upstream.py): http or https, no redirect, no
proxy, no link-local address. Decides what counts as arrived: an answer of 2xx within SECONDS.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from headrace.base.clock import Clock
from headrace.client.signature import secret_bytes, sign
from headrace.compute.upstream import Response, Upstream
from headrace.types.errors import BadInput, HeadraceError
from headrace.types.webhook import Webhook

SECONDS = 5.0
ANSWER_BYTES = 1 << 20
OVERLAP_SECONDS = 86_400.0  # that the secret before the newest one signs too
SECRET_PREFIX = "WEBHOOK_"  # noqa: S105 - of a variable's name: a hook may not sign with our own token


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`status` 0: no answer, `error` says why. `retry_after`: as the receiver wrote it."""

    status: int
    error: str
    seconds: float
    retry_after: str = ""

    @property
    def arrived(self) -> bool:
        return 200 <= self.status < 300


class Sender:
    """`key`: the platform's own, from which secrets follow, so that none is kept in the database."""

    def __init__(self, key: bytes, clock: Clock, version: str) -> None:
        self._key, self._clock, self._agent = key, clock, f"headrace/{version}"

    def secret(self, hook: Webhook, generation: int) -> bytes:
        return hmac.digest(self._key, f"webhook {hook.id} {generation}".encode(), "sha256")

    async def send(self, hook: Webhook, message: str, body: bytes) -> Outcome:
        began = self._clock.steady()
        try:
            response = await self._post(hook, message, body)
        except HeadraceError as error:
            return Outcome(status=0, error=error.sentence(), seconds=self._clock.steady() - began)
        took = self._clock.steady() - began
        return Outcome(
            status=response.status,
            error=_complaint(response),
            seconds=took,
            retry_after=response.headers.get("retry-after", "").strip(),
        )

    async def _post(self, hook: Webhook, message: str, body: bytes) -> Response:
        parts = urlsplit(hook.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        signed = sign(self._secrets(hook), message=message, at=int(self._clock.now()), body=body)
        headers = {"content-type": "application/json", "user-agent": self._agent, **signed}
        receiver = Upstream(
            f"webhook {hook.name!r}", f"{parts.scheme}://{parts.netloc}", connections=1, max_body=ANSWER_BYTES
        )
        try:
            return await receiver.post(path, headers, body, seconds=SECONDS)
        finally:
            await receiver.close()

    def _secrets(self, hook: Webhook) -> list[bytes]:
        """Newest first."""
        if hook.secret_env:
            return [_from_environment(hook.secret_env)]
        overlapping = hook.generation > 1 and self._clock.now() - hook.rotated < OVERLAP_SECONDS
        generations = (hook.generation, hook.generation - 1) if overlapping else (hook.generation,)
        return [self.secret(hook, generation) for generation in generations]


def check_variable(name: str) -> None:
    """Raises BadInput for a variable that a hook may not sign with."""
    if not name.startswith(SECRET_PREFIX) or not name.removeprefix(SECRET_PREFIX).replace("_", "").isalnum():
        raise BadInput(
            f"secret_env is {name!r}; allowed: names that begin with {SECRET_PREFIX}, such as {SECRET_PREFIX}CHAT",
            field="secret_env",
        )


def _from_environment(name: str) -> bytes:
    check_variable(name)
    value = os.environ.get(name, "")
    if not value:
        raise BadInput(f"the control plane's environment has no {name}", field="secret_env", hint="set it and restart")
    return secret_bytes(value)


def _complaint(response: Response) -> str:
    if 200 <= response.status < 300:
        return ""
    said = response.body[:200].decode(errors="replace").strip()
    return f"it answered {response.status}" + (f": {said}" if said else "")
