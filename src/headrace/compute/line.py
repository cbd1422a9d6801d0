"""One connection to a service: one request at a time, its answer in pieces as they come.

Made by upstream.py. Decides when a connection may be used again, when a service is late, and how much of an answer is
taken in before somebody has asked for it. Ignores what is said.
"""

from __future__ import annotations

import asyncio
import os
from asyncio import Future, TimerHandle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from httptools import HttpParserError, HttpResponseParser

from headrace.types.errors import HeadraceError, TimedOut, UpstreamError

AHEAD_BYTES = 256 * 1024  # of an answer that are taken in before anyone has asked for them
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))

Headers = list[tuple[bytes, bytes]]
Flow = Callable[[bytes], bool]  # what came goes in; False comes out: no more for now


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds at most: until the head of the answer, between two pieces of it, and for all of it."""

    head: float
    idle: float
    total: float


class Line(asyncio.Protocol):
    """`headers` in the order they came, names in lower case; of a name that comes twice, the last one. `open`: it takes
    a request."""

    def __init__(self, name: str, every: set[Line]) -> None:
        self.since = 0.0  # when it was last used, by the loop's clock
        self.idle = True  # no answer is under way
        self.status = 0
        self.headers: Headers = []
        self._name = name
        self._every = every
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._heads: dict[bytes, bytes] = {}
        self.on_header = self._heads.__setitem__  # C calls C: there are many, and few of them matter to anyone
        self._parser = HttpResponseParser(self)
        self._waiter: Future[None] | None = None
        self._timer: TimerHandle | None = None
        self._times = Times(0.0, 0.0, 0.0)
        self._seconds = self._due = self._end = self._wait = self._rings = 0.0
        self._error: HeadraceError | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._hear: Flow | None = None  # who is told at once
        self._broke: BaseException | None = None  # of who was told
        self._full = False  # who was told wants no more for now
        self._begun = self._until_end = self._keep = self._done = self._excess = self._held = False

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def spent(self) -> bool:
        """Its answer is whole and read, and another request may follow."""
        whole = self._done and self._keep and not self._pieces and self._error is None
        return whole and self._transport is not None and not self._transport.is_closing()

    def whole(self, limit: int) -> bytes | None:
        """The answer's body, if all of it is here already and nothing of it was taken."""
        if not self._done or self._size > limit:
            return None
        pieces, self._pieces, self._size = self._pieces, [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def address(self) -> str:
        peer = self._transport.get_extra_info("peername") if self._transport else None
        return str(peer[0]) if peer else ""

    def ask(self, head: bytes, body: bytes, times: Times, seconds: float) -> Future[None]:
        """Done when the head of the answer is here. Raises UpstreamError, TimedOut."""
        transport = self._transport
        assert transport is not None
        self.idle = False
        self.status, self.headers, self._pieces, self._size = 0, [], [], 0
        self._error = None
        self._heads.clear()
        self._begun = self._until_end = self._keep = self._done = self._excess = False
        self._times, self._seconds = times, seconds
        self._end = self._loop.time() + seconds
        if len(body) < 65_536:
            transport.write(head + body)  # one packet, and one system call
        else:
            transport.writelines([head, body])
        return self._until(times.head)

    async def piece(self) -> bytes:
        """What has come since; empty at the end of the answer."""
        while not self._pieces:
            if self._done:
                return b""
            if self._error is not None:
                raise self._error
            await self._until(self._times.idle)
        return self._taken()

    async def flow(self, hear: Flow) -> bool:
        """`hear` is told of what comes in the moment in which it comes: to wake a task for each piece would cost more
        than all that is done with it. Returns True when `hear` wants no more for now, False at the end of the answer.
        Raises what `hear` raises, and as `piece`."""
        while True:
            if self._pieces and not hear(self._taken()):
                return True
            if self._done:
                return False
            if self._error is not None:
                raise self._error
            self._hear, self._full = hear, False
            try:
                await self._until(self._times.idle)
            finally:
                self._hear = None
            if self._broke is not None:
                error, self._broke = self._broke, None
                raise error
            if self._full:
                return True

    def unread(self) -> bytes:
        """What has come and nobody took, also what the system still holds: for who must know how much was made before
        it was given up. Of an encrypted connection, without the latter."""
        transport = self._transport
        if transport is not None and not transport.is_closing() and transport.get_extra_info("ssl_object") is None:
            with suppress(OSError, HttpParserError):  # nothing more, or nothing that is HTTP
                while not self._done and self._size <= AHEAD_BYTES:
                    data = os.read(transport.get_extra_info("socket").fileno(), AHEAD_BYTES)
                    if not data:
                        break
                    self._parser.feed_data(data)
        return self._taken() if self._pieces else b""

    def end(self, why: str) -> None:
        self._fail(UpstreamError(f"the connection to {self._name} was closed: {why}", retry_after=1.0))
        self._every.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    def _taken(self) -> bytes:
        pieces, self._pieces, self._size = self._pieces, [], 0
        if self._held and self.open:
            self._held = False
            cast(asyncio.Transport, self._transport).resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _tell(self, hear: Flow) -> None:
        """Who hears is another one's code: what it raises belongs to who waits, not to the connection."""
        due = self._loop.time() + self._wait
        self._due = due if due < self._end else self._end
        pieces, self._pieces, self._size = self._pieces, [], 0
        try:
            more = hear(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            self._broke, more = error, False
        if not more:
            self._hear, self._full = None, True
            self._wake()

    # waiting

    def _until(self, seconds: float) -> Future[None]:
        """Something has come, or went wrong."""
        if self._error is not None:
            raise self._error
        due = self._loop.time() + seconds
        self._due, self._wait = due if due < self._end else self._end, seconds
        if self._timer is None or self._due < self._rings:
            self._arm()
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = self._due
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        """One timer for all waits of a connection. Most are over long before, so it is only moved when it rings, or
        when it would ring too late."""
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._due:
            self._arm()
        else:
            seconds = min(self._wait, self._seconds)
            self._fail(TimedOut(f"{self._name} did not answer within {seconds:.3g} s"))

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():  # who waited may be gone
            waiter.set_result(None)

    def _fail(self, error: HeadraceError) -> None:
        if self.idle or self._done or self._error is not None:
            return
        self._error = error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._every.add(self)

    def data_received(self, data: bytes) -> None:
        if self.idle or self._done:
            self.end("it spoke unasked")
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._keep = False
            if self._hear is not None and self._pieces:
                self._tell(self._hear)
            self.end(f"what came is not HTTP: {error}")
            return
        if self._hear is not None and self._pieces:
            self._tell(self._hear)
        if self._excess:
            self.end("it spoke unasked")
        elif self._size > AHEAD_BYTES and not self._done and not self._held and self.open:
            self._held = True
            cast(asyncio.Transport, self._transport).pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._every.discard(self)
        if self._until_end and self._begun and not self._done and self._error is None:
            self._keep, self._done = False, True
            self._wake()
            return
        where = "in the middle of" if self._begun else "without"
        self._fail(UpstreamError(f"{self._name} closed the connection {where} an answer", retry_after=1.0))

    # httptools' side

    def on_message_begin(self) -> None:
        """A second answer in the same bytes belongs to no request: it must not get into this one, nor into the next."""
        self._excess = self._done

    def on_headers_complete(self) -> None:
        if self._done:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:  # 100 Continue: the answer is still to come
            self._heads.clear()
            return
        headers = self.headers
        for name, value in self._heads.items():
            headers.append((name.lower(), value))
        self._until_end = _FRAMING.isdisjoint(dict(headers))
        self._begun = True
        self._wake()

    def on_body(self, piece: bytes) -> None:
        if not self._done:
            self._size += len(piece)
            self._pieces.append(piece)
            if self._waiter is not None and self._hear is None:
                self._wake()

    def on_message_complete(self) -> None:
        if self._done:
            return
        if self.status < 200:
            self.status = 0
            return
        self._keep = self._parser.should_keep_alive()
        self._done = True
        if self._waiter is not None:
            self._wake()
