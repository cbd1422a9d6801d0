"""One HTTP request and its answer: headers, a bounded body, a reply or a stream.

Made by connection.py, one per request; used by edge.py and the handlers. Decides limits of size and form, and how an
answer is written. Ignores paths.
"""

from __future__ import annotations

import asyncio
from asyncio import Future, TimerHandle
from collections.abc import Iterable
from http import HTTPStatus
from typing import Protocol

import msgspec

from headrace.api.errors import WrongMedia
from headrace.types.errors import BadInput, TooLarge

BODY_SECONDS = 30.0  # that a client may take to send its body
AHEAD_BYTES = 256 * 1024  # of a body that are taken in before anyone has asked for it
JSON = b"application/json"

Headers = Iterable[tuple[bytes, bytes]]

_JSON_HEADER = (b"content-type", JSON)
_STATUS_LINES = {s.value: b"HTTP/1.1 %d %b\r\n" % (s.value, s.phrase.encode()) for s in HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE = b"connection: close\r\n"


class Wire(Protocol):
    """The connection, as far as one exchange needs it."""

    @property
    def date(self) -> bytes:
        """The header line."""
        ...

    @property
    def last(self) -> bool:
        """No further request is answered on this connection."""
        ...

    def write(self, data: bytes) -> bool:
        """False: the client has not taken what was written before."""
        ...

    async def drained(self) -> None:
        """Returns when the client has taken enough of what was written."""
        ...

    def hold(self, holds: bool) -> None:
        """Stop, or go on, taking in what the client sends."""
        ...


class Reply(msgspec.Struct, eq=False):
    """`lines`: more headers, as they are written."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]
    lines: bytes = b""


def json_reply(body: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    return Reply(status, body, [_JSON_HEADER, *headers])


class Exchange:
    """`headers` by name in lower case; of a name that comes twice, the last one. `complete`: the whole body is here."""

    __slots__ = (
        "_arrival",
        "_broken",
        "_chunked",
        "_chunks",
        "_limit",
        "_size",
        "_wire",
        "answered",
        "begun",
        "complete",
        "headers",
        "keep_alive",
        "method",
        "modern",
        "path",
        "query",
    )

    def __init__(self, wire: Wire) -> None:
        self.method = ""
        self.path = ""
        self.query = ""
        self.headers: dict[bytes, bytes] = {}
        self.keep_alive = True
        self.modern = True  # HTTP/1.1, not 1.0
        self.complete = False
        self.begun = False  # the answer's first byte is written
        self.answered = False  # the answer is whole
        self._wire = wire
        self._chunks: list[bytes] = []
        self._size = 0
        self._limit = -1  # of the body; unknown until someone asks for it
        self._arrival: Future[None] | None = None
        self._broken = ""
        self._chunked = False

    def header(self, name: str) -> str | None:
        """`name` in lower case."""
        value = self.headers.get(name.encode("latin-1"))
        return None if value is None else value.decode("utf-8", "replace")

    # the body

    async def json_body(self, limit: int) -> bytes:
        """Raises WrongMedia, TooLarge (before the body is read, when its length is announced) or BadInput."""
        media = self.headers.get(b"content-type", JSON)
        if media != JSON and not _is_json(media):
            raise WrongMedia(
                f"content type {media.decode('latin-1')!r} is not taken here",
                hint="send content-type: application/json",
            )
        return await self.body(limit)

    async def body(self, limit: int) -> bytes:
        announced = self.headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > limit:
            raise _too_large(limit)
        if not self.complete:
            await self._arrive(limit)
        if self._broken:
            raise BadInput(f"the body is broken: {self._broken}", field="body")
        if self._size > limit:
            raise _too_large(limit)
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    async def _arrive(self, limit: int) -> None:
        loop = asyncio.get_running_loop()
        if self._broken:
            return
        self._limit, self._arrival = limit, loop.create_future()
        if self.headers.get(b"expect", b"").lower() == b"100-continue" and not self._size:
            self._wire.write(_CONTINUE)
        self._wire.hold(False)
        timer: TimerHandle = loop.call_later(BODY_SECONDS, self._too_slow, self._arrival)
        try:
            await self._arrival
        finally:
            timer.cancel()

    def _too_slow(self, arrival: Future[None]) -> None:
        if not arrival.done():
            arrival.set_exception(BadInput(f"the body did not arrive within {BODY_SECONDS:g} s"))

    def take(self, chunk: bytes) -> None:
        """A piece of the body came."""
        self._size += len(chunk)
        if self.answered or 0 <= self._limit < self._size:
            self._chunks.clear()  # nobody will read it
            self._tell()
            return
        self._chunks.append(chunk)
        if self._limit < 0 and self._size > AHEAD_BYTES:
            self._wire.hold(True)

    def taken(self) -> None:
        """The body is whole."""
        self.complete = True
        if self._arrival is not None:
            self._tell()

    def breaks(self, reason: str) -> None:
        """What came is no body."""
        self._broken = reason
        self._tell()

    def _tell(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    # the answer

    def reply(self, reply: Reply) -> None:
        """Answered before its body was read whole, a request is the last one of its connection."""
        body = reply.body
        head = self._head(reply.status, reply.headers, b"%bcontent-length: %d\r\n\r\n" % (reply.lines, len(body)))
        self.answered = True
        self._wire.write(head if self.method == "HEAD" else head + body)

    def begin(self, status: int, headers: Headers, lines: bytes = b"") -> None:
        """The head of an answer that comes in pieces. Without a content-length it is sent in chunks. `lines`: more
        headers, as they are written."""
        headers = list(headers)
        sized = any(name == b"content-length" for name, _ in headers)
        self._chunked = not sized and self.modern
        if not sized and not self.modern:
            self.keep_alive = False  # the end of the connection is the end of the answer
        last = b"transfer-encoding: chunked\r\n\r\n" if self._chunked else b"\r\n"
        self._wire.write(self._head(status, headers, lines + last))

    def put(self, chunk: bytes) -> bool:
        """A piece, which is not empty. False: the client has enough for now, until `drained`."""
        return self._wire.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)

    async def drained(self) -> None:
        await self._wire.drained()

    async def write(self, chunk: bytes) -> None:
        """In the client's pace: returns when it has taken enough."""
        if chunk and not self.put(chunk):
            await self._wire.drained()

    def end(self) -> None:
        """Without it the client sees that the answer is cut."""
        self.answered = True
        if self._chunked:
            self._wire.write(b"0\r\n\r\n")

    def _head(self, status: int, headers: Headers, last: bytes) -> bytes:
        self.begun = True
        lines = [_STATUS_LINES[status], self._wire.date]
        for name, value in headers:
            if b"\n" in value or b"\r" in value:
                raise ValueError(f"header {name!r} has a line break in its value {value!r}")
            lines.append(b"%b: %b\r\n" % (name, value))
        if self._wire.last or not self.complete:
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(_CLOSE)
        elif not self.modern:
            lines.append(b"connection: keep-alive\r\n")
        lines.append(last)
        return b"".join(lines)


def _is_json(media: bytes) -> bool:
    name = media.partition(b";")[0].strip().lower()
    return name == JSON or name.endswith(b"+json")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is larger than {limit >> 20} MiB", hint="send several smaller calls; setting max_body_mb"
    )
