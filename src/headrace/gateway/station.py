"""A provider in force: its client, its key, what it speaks.

Made by board.py, kept over plans as long as nothing about it changes, so that its connections and streams live on.
Decides which headers of a caller go on to it, and which of its own come back. Ignores what is in a body.
"""

from __future__ import annotations

from headrace.compute.line import Headers, Times
from headrace.compute.upstream import Answer, Upstream
from headrace.gateway.providers.base import Target
from headrace.gateway.providers.registry import KINDS
from headrace.types.gateway import Provider, Wire

# Of a caller's headers: an allow-list. Its key, its cookies and what belongs to one connection never go on.
PASSED_ON = frozenset(
    (
        b"accept",
        b"anthropic-beta",
        b"anthropic-version",
        b"content-type",
        b"idempotency-key",
        b"openai-beta",
        b"traceparent",
        b"tracestate",
    )
)
# Of a provider's: what clients act on.
_BACK = frozenset(
    (
        b"content-disposition",
        b"content-type",
        b"request-id",
        b"retry-after",
        b"retry-after-ms",
        b"x-request-id",
        b"x-should-retry",
    )
)
_BACK_PREFIXES = (b"anthropic-ratelimit-", b"openai-", b"x-ratelimit-")


class Station:
    """`secret`: the key itself; nobody prints a station."""

    __slots__ = ("_headers", "_times", "_upstream", "kind", "name", "provider")

    def __init__(self, provider: Provider, secret: str) -> None:
        self.provider = provider
        self.name = provider.name
        self.kind = KINDS[provider.kind]
        own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in provider.headers.items()]
        self._headers = [*self.kind.headers(provider, secret), *own]
        self._times = Times(provider.first_byte_seconds, provider.idle_seconds, provider.total_seconds)
        self._upstream = Upstream(
            f"provider {provider.name!r}",
            provider.url,
            connections=provider.connections,
            private=provider.private,
            secret=secret.encode(),
        )

    @property
    def speaks(self) -> frozenset[Wire]:
        return self.kind.speaks

    async def ask(self, target: Target, forwarded: Headers, body: bytes, *, seconds: float) -> Answer:
        """Raises Unreached, UpstreamError, TimedOut. `seconds`: that the call may take in all."""
        times, path = self._times, self.kind.path(self.provider, target)
        if seconds < times.total:
            times = Times(min(times.head, seconds), times.idle, seconds)
        return await self._upstream.ask(
            b"POST",
            path.encode("latin-1"),
            self._with_own(forwarded),
            body,
            times=times,
            connect=self.provider.connect_seconds,
        )

    async def pass_on(self, method: bytes, path: str, forwarded: Headers, body: bytes, *, seconds: float) -> Answer:
        """Anything else that it offers. Raises as `ask`."""
        times = Times(self._times.head, self._times.idle, min(seconds, self._times.total))
        return await self._upstream.ask(
            method,
            path.encode("latin-1"),
            self._with_own(forwarded),
            body,
            times=times,
            connect=self.provider.connect_seconds,
        )

    def _with_own(self, forwarded: Headers) -> Headers:
        theirs = {name for name, _ in forwarded}
        return [*forwarded, *(header for header in self._headers if header[0] not in theirs)]

    def retire(self) -> None:
        """No plan names it any more: its last calls may end."""
        self._upstream.retire()

    async def close(self) -> None:
        await self._upstream.close()


def passed_on(headers: dict[bytes, bytes]) -> Headers:
    """Of a caller's request, towards an upstream."""
    return [(name, value) for name, value in headers.items() if name in PASSED_ON]


def passed_back(headers: Headers) -> Headers:
    """Of an upstream's answer, towards the caller."""
    return [(name, value) for name, value in headers if name in _BACK or name.startswith(_BACK_PREFIXES)]
