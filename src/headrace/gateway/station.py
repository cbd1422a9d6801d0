"""A provider in force: its client, its key, what it speaks.

Made by board.py, kept over plans as long as nothing about it changes, so that its connections and streams live on.
Decides which headers of a caller go on to it, and which of its own come back. Ignores what is in a body.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable

from headrace.compute.line import Headers, Times
from headrace.compute.upstream import Answer, Upstream, lines_of
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
_KNOWN = 1024  # targets whose heads are kept: callers choose tails, so there is a bound
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BACK_PREFIXES = (b"anthropic-ratelimit-", b"openai-", b"x-ratelimit-")


class Station:
    """`secret`: the key itself; nobody prints a station."""

    __slots__ = ("_always", "_heads", "_times", "_upstream", "_usual", "kind", "name", "provider", "speaks")

    def __init__(self, provider: Provider, secret: str) -> None:
        self.provider = provider
        self.name = provider.name
        self.kind = KINDS[provider.kind]
        self.speaks: frozenset[Wire] = self.kind.speaks
        own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in provider.headers.items()]
        mine = [*self.kind.headers(provider, secret), *own]
        self._always = lines_of([header for header in mine if header[0] not in PASSED_ON])
        self._usual = [header for header in mine if header[0] in PASSED_ON]  # a caller's own goes before them
        self._heads: dict[Target, bytes] = {}
        self._times = Times(provider.first_byte_seconds, provider.idle_seconds, provider.total_seconds)
        self._upstream = Upstream(
            f"provider {provider.name!r}",
            provider.url,
            connections=provider.connections,
            private=provider.private,
            secret=secret.encode(),
        )

    def ask(self, target: Target, forwarded: Headers, body: bytes, *, seconds: float) -> Awaitable[Answer]:
        """Raises Unreached, UpstreamError, TimedOut. `seconds`: that the call may take in all."""
        head = self._heads.get(target)
        if head is None:
            head = self._prepare(target)
        if self._usual:
            head += self._lines(forwarded)
        else:
            for header in forwarded:
                head += b"%b: %b\r\n" % header
        times = self._times
        seconds = seconds if seconds < times.total else times.total
        return self._upstream.ask(head, body, times=times, connect=self.provider.connect_seconds, seconds=seconds)

    def pass_on(
        self, method: bytes, path: str, forwarded: Headers, body: bytes, *, seconds: float
    ) -> Awaitable[Answer]:
        """Anything else that it offers. Raises as `ask`."""
        head = self._upstream.head(method, path.encode("latin-1")) + self._always + self._lines(forwarded)
        times, connect = self._times, self.provider.connect_seconds
        return self._upstream.ask(head, body, times=times, connect=connect, seconds=min(seconds, times.total))

    def _prepare(self, target: Target) -> bytes:
        if len(self._heads) >= _KNOWN:
            self._heads.clear()
        path = self.kind.path(self.provider, target).encode("latin-1")
        head = self._heads[target] = self._upstream.head(b"POST", path) + self._always
        return head

    def _lines(self, forwarded: Headers) -> bytes:
        if self._usual:
            theirs = {name for name, _ in forwarded}
            forwarded = [*forwarded, *(header for header in self._usual if header[0] not in theirs)]
        return lines_of(forwarded)

    def retire(self) -> None:
        """No plan names it any more: its last calls may end."""
        self._upstream.retire()

    async def close(self) -> None:
        await self._upstream.close()


def passed_on(headers: dict[bytes, bytes]) -> Headers:
    """Of a caller's request, towards an upstream."""
    found = []
    for header in headers.items():  # loops, here and below: a comprehension would be one more frame
        if header[0] in PASSED_ON:
            found.append(header)
    return found


def passed_back(headers: Headers, *, but: frozenset[bytes] = frozenset()) -> Headers:
    """Of an upstream's answer, towards the caller."""
    found = []
    for header in headers:
        name = header[0]
        if (name in _BACK or name.startswith(_BACK_PREFIXES)) and name not in but:
            found.append(header)
    return found


def line_of(name: bytes, value: str) -> bytes:
    """A header as it is written. What could end it is not in it."""
    return b"%b: %b\r\n" % (name, _CONTROL.sub("?", value).encode("latin-1", "replace"))
