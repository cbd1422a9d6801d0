"""A small HTTP/1.1 client for services that a person configured: one pool of connections per service.

Called by serving/runtimes/upstream.py and the gateway. Decides when a connection is used again, and what each way to
fail is called: UpstreamError for a service that is away, breaks off or talks nonsense, TimedOut for one that is late.
Sends each request once: whether it may be sent again, nobody here can know. Follows no redirect, uses no proxy, and
looks at the address that a name led to before it says anything: link-local ones, where clouds keep the keys of
machines, are never called, private ones only where that was said. Ignores what is said, but for a key that was shown to
the service: that never comes back.

Written on httptools, which the data plane has anyway: an HTTP library would cost every data plane its memory.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import Future
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from headrace.compute.hush import INSTEAD, SHORT, Hush
from headrace.compute.line import Flow, Headers, Line, Times
from headrace.types.errors import BadInput, TimedOut, UpstreamError

IDLE_SECONDS = 4.0  # servers close idle connections after five seconds or more; we are first
MAX_BODY = 64 << 20
_OK = 200

Hear = Callable[[bytes], None]


@dataclass(slots=True)
class Response:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""


class Unreached(UpstreamError):
    """No connection: nothing was sent."""


class Upstream:
    """`name` is for messages. `url`: everything before the path that a request adds. `private`: it may be on this
    machine or in this network. `secret` is taken out of all that it says."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        connections: int,
        max_body: int = MAX_BODY,
        private: bool = True,
        secret: bytes = b"",
    ) -> None:
        self.name = name
        self._url = parse_url(url)
        self._base = self._url.path.rstrip("/").encode("latin-1")
        self._host = b"host: %b\r\n" % self._url.netloc.encode("latin-1")
        self._port = self._url.port or (443 if self._url.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._free = connections
        self._waiting: deque[Future[None]] = deque()  # for a place
        self._idle: list[Line] = []  # the one that was used last at its end
        self._reaper: asyncio.TimerHandle | None = None
        self._all: set[Line] = set()
        self._max_body = max_body
        self._private = private
        self._secret = secret if len(secret) >= SHORT else b""
        self._closed = False

    async def post(
        self, path: str, headers: Mapping[str, str], body: bytes, *, seconds: float, hear: Hear | None = None
    ) -> Response:
        """Raises UpstreamError, TimedOut. `seconds` for all of it. `hear` gets the body of a 200 piece by piece as it
        comes; the response then has none."""
        given = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        times = Times(seconds, seconds, seconds)
        head = self.head(b"POST", path.encode("latin-1")) + lines_of(given)
        answer = await self.ask(head, body, times=times, connect=seconds, seconds=seconds)
        try:
            if hear is not None and answer.status == _OK:
                while piece := await answer.piece():
                    hear(piece)
                whole = b""
            else:
                whole = await answer.whole(self._max_body)
        finally:
            answer.close()
        told = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
        return Response(answer.status, told, whole)

    def head(self, method: bytes, path: bytes) -> bytes:
        """The first lines of requests: made once, they begin many. `path` may have a query."""
        return b"%b %b%b HTTP/1.1\r\n%b" % (method, self._base, path, self._host)

    async def ask(self, head: bytes, body: bytes, *, times: Times, connect: float, seconds: float) -> Answer:
        """`head`: as `head` made it, and more lines. `seconds`: for this one in all. When this returns the head of the
        answer is here; who called closes the answer. Raises Unreached, UpstreamError, TimedOut."""
        if self._free:
            self._free -= 1
        else:
            await self._place(seconds)
        line: Line | None = None
        try:
            line = self._reused() or await self._connect(connect)
            await line.ask(b"%bcontent-length: %d\r\n\r\n" % (head, len(body)), body, times, seconds)
        except BaseException:  # also a caller that went away: half a request cannot be taken back
            self._give_back(line)
            raise
        return Answer(self, line, self._secret)

    async def close(self) -> None:
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        for line in list(self._all):
            line.end("it was unloaded")

    def retire(self) -> None:
        """No new calls; those under way end as they would."""
        self._closed = True
        while self._idle:
            self._idle.pop().end("it was unloaded")

    async def _place(self, seconds: float) -> None:
        """In the order of arrival; who leaves hands its place to the next."""
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            async with asyncio.timeout(seconds):
                await mine
        except BaseException as error:
            if mine.done() and not mine.cancelled():  # it came in the moment in which waiting for it ended
                self._leave()
            if isinstance(error, TimeoutError):
                raise self._late(seconds) from None
            raise

    def _leave(self) -> None:
        while self._waiting:
            next_one = self._waiting.popleft()
            if not next_one.done():
                next_one.set_result(None)
                return
        self._free += 1

    def _reused(self) -> Line | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            line = self._idle.pop()
            if now - line.since < IDLE_SECONDS and line.open:
                return line
            line.end("it was idle")
        return None

    async def _connect(self, seconds: float) -> Line:
        if self._closed:
            raise UpstreamError(f"{self.name} was unloaded", retry_after=1.0)
        loop, host = asyncio.get_running_loop(), self._url.hostname or ""
        try:
            async with asyncio.timeout(seconds):
                _, line = await loop.create_connection(
                    lambda: Line(self.name, self._all), host, self._port, ssl=self._tls
                )
        except TimeoutError:
            raise self._late(seconds) from None
        except OSError as error:
            raise Unreached(f"{self.name} cannot be reached: {error}", retry_after=1.0) from error
        if (refusal := _forbidden(line.address(), private=self._private)) is not None:
            line.end(refusal)
            raise Unreached(f"{self.name} is at {line.address()}, {refusal}, which is not called")
        return line

    def _late(self, seconds: float) -> TimedOut:
        return TimedOut(f"{self.name} did not answer within {seconds:.3g} s")

    def _give_back(self, line: Line | None) -> None:
        if self._waiting:
            self._leave()
        else:
            self._free += 1
        if line is None:
            return
        loop = asyncio.get_running_loop()
        line.since = loop.time()
        if line.spent and not self._closed:
            line.idle = True
            self._idle.append(line)
            if self._reaper is None:
                self._reaper = loop.call_later(IDLE_SECONDS, self._reap)
        else:
            line.end("it was given up")

    def _reap(self) -> None:
        """Idle connections are not kept for who might never come again."""
        loop = asyncio.get_running_loop()
        while self._idle and loop.time() - self._idle[0].since >= IDLE_SECONDS:
            self._idle.pop(0).end("it was idle")
        self._reaper = loop.call_at(self._idle[0].since + IDLE_SECONDS, self._reap) if self._idle else None


class Answer:
    """Of one request: its head is here, its body comes in pieces. Close it: unless it was read to its end, that ends
    the connection, and with it what the service does for us."""

    __slots__ = ("_hush", "_line", "_open", "_upstream", "headers", "status")

    def __init__(self, upstream: Upstream, line: Line, secret: bytes = b"") -> None:
        self.status = line.status
        self.headers = line.headers
        self._upstream = upstream
        self._line = line
        self._open = True
        self._hush = Hush(secret) if secret else None
        if secret and secret in b"\n".join([value for _, value in line.headers]):
            self.headers = [(name, value.replace(secret, INSTEAD)) for name, value in line.headers]

    async def piece(self) -> bytes:
        """What has come; empty at the end. Raises UpstreamError when it breaks off, TimedOut."""
        if self._hush is None:
            return await self._line.piece()
        while piece := await self._line.piece():
            if shown := self._hush.feed(piece):
                return shown
        return self._hush.rest()

    def flow(self, hear: Flow) -> Awaitable[bool]:
        """As `line.flow`."""
        return self._line.flow(hear) if self._hush is None else self._hushed(self._hush, hear)

    async def _hushed(self, hush: Hush, hear: Flow) -> bool:
        def shown(piece: bytes) -> bool:
            return hear(seen) if (seen := hush.feed(piece)) else True

        more = await self._line.flow(shown)
        if not more and (rest := hush.rest()):
            hear(rest)
        return more

    async def whole(self, limit: int) -> bytes:
        if (here := self._line.whole(limit)) is not None:
            return here if self._hush is None else self._hush.feed(here) + self._hush.rest()
        pieces: list[bytes] = []
        size = 0
        while piece := await self.piece():
            size += len(piece)
            if size > limit:
                raise UpstreamError(f"the answer of {self._upstream.name} is larger than {limit} bytes")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def unread(self) -> bytes:
        """What has come and was not asked for, before it is closed."""
        rest = self._line.unread() if self._open else b""
        return rest if self._hush is None else self._hush.feed(rest)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._upstream._give_back(self._line)


def lines_of(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def parse_url(url: str) -> SplitResult:
    """Raises BadInput for what is no address of a service."""
    parts = urlsplit(url)
    with suppress(ValueError):  # reading a port parses it
        sound = parts.hostname and parts.port != 0 and not (parts.username or parts.password)
        if sound and parts.scheme in ("http", "https") and not any(sign in url for sign in " \r\n\t#"):
            return parts
    raise BadInput(
        f"url is {url!r}; allowed: http://HOST[:PORT]/PATH or https, without a user or a password", field="url"
    )


def _forbidden(address: str, *, private: bool) -> str | None:
    """Why it is not called; None if it may be."""
    if not address:
        return None
    ip = ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_link_local:
        return "a link-local address"
    if not private and not ip.is_global:
        return "a private address"
    return None
