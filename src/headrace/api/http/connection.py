"""One connection of a client: HTTP/1.1 from bytes to exchanges, and their answers back in order.

Made by server.py; gives each request to edge.py. The grammar is llhttp's (httptools), in its strict form; what is
decided here is what a front door must decide: bounds on the head, one request at a time, what is smuggling, what
happens to a client that is slow or hangs up. Ignores paths and what is asked.

Our own, because it is most of what a small call costs: a general server turns each request into dictionaries, messages
and a task. A call that is answered without waiting for anything needs none of these (see docs/design/data-plane.md).
"""

from __future__ import annotations

import asyncio
from asyncio import Task, Transport
from collections import deque
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from functools import partial
from types import coroutine
from typing import Any, Protocol, cast
from urllib.parse import unquote

import httptools

from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.serving.queue import Answer
from headrace.traffic.record import HUNG_UP

HEAD_BYTES = 64 * 1024  # of a request: target and headers
HEADERS = 100
PIPELINED = 16  # requests that wait behind the one being answered
_BODY = {b"content-length", b"transfer-encoding"}
LINGER_SECONDS = 1.0  # that a refused body is still taken in (and dropped), so that the refusal can be read


Work = Coroutine[Any, Any, None]


class Front(Protocol):
    """edge.Edge."""

    def __call__(self, exchange: Exchange) -> Work: ...

    def eager(self, exchange: Exchange) -> bool: ...

    def malformed(self, reason: str) -> None: ...


class Shared(Protocol):
    """What all connections of a server have in common."""

    front: Front
    date: bytes
    draining: bool
    connections: set[Connection]

    def lost(self, connection: Connection) -> None: ...

    def turn(self, connection: Connection) -> None:
        """Have `advance` called, after all connections that are readable now have been read."""
        ...


class Refused(Exception):
    """What came is no request that is taken here."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Connection(asyncio.Protocol):
    """`since`: when it began to wait for a request, or for the rest of one (the loop's clock). `closing`: requests that
    are here already are answered, nothing more is taken."""

    __slots__ = (
        "_can_write",
        "_current",
        "_head",
        "_headers",
        "_held",
        "_loop",
        "_next",
        "_parser",
        "_pending",
        "_reading",
        "_shared",
        "_target",
        "_task",
        "_transport",
        "closing",
        "since",
    )

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Transport | None = None
        self._headers: dict[bytes, bytes] = {}  # of what is being read
        self._reading: Exchange | None = None  # a request whose end has not come yet
        self._current: Exchange | None = None  # the one that is being answered
        self._next: deque[Exchange] = deque()
        self._task: Task[None] | None = None
        self._pending: Answer | None = None  # what a call waits for that has no task
        self._target = b""
        self._head = 0
        self._held = False
        self._can_write: asyncio.Event | None = None
        self.closing = False
        self.since = self._loop.time()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(Transport, transport)
        self._shared.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self.since = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # ignored, as HTTP allows: the request is answered, and is the last one
            self.closing = True
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Refused) else Refused(400, f"not HTTP: {error}"))
        if len(self._next) > PIPELINED:
            self.hold(True)
        if self._current is None and self._next:
            self._shared.turn(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.closing = True
        self._shared.lost(self)
        self._next.clear()
        self.resume_writing()
        if self._task is not None:
            self._task.cancel(HUNG_UP)
        if self._pending is not None:
            self._pending.give_up(asyncio.CancelledError(HUNG_UP))

    def pause_writing(self) -> None:
        self._can_write = asyncio.Event()

    def resume_writing(self) -> None:
        if self._can_write is not None:
            self._can_write.set()
            self._can_write = None

    # the parser's side

    def on_message_begin(self) -> None:
        if self.closing:
            raise Refused(400, "the connection is closing")
        self._reading = exchange = Exchange(self)
        self._headers = exchange.headers
        self._target, self._head = b"", 0

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._head += len(url)
        if self._head > HEAD_BYTES:
            self._too_large()

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self._headers
        self._head += len(name) + len(value)
        if self._head > HEAD_BYTES or len(headers) >= HEADERS:
            self._too_large()
        name = name.lower()
        if name == b"host" and name in headers:
            raise Refused(400, "more than one host header")
        headers[name] = value

    def on_headers_complete(self) -> None:
        exchange, parser = self._reading, self._parser
        assert exchange is not None
        if parser.should_upgrade() and exchange.headers.keys() & _BODY:
            raise Refused(400, "upgrade is not spoken here")
        exchange.method = parser.get_method().decode()
        exchange.keep_alive = parser.should_keep_alive()
        version = parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise Refused(505, f"HTTP {version} is not spoken here")
        exchange.modern = version == "1.1"
        if exchange.modern and b"host" not in exchange.headers:
            raise Refused(400, "no host header")
        if b"transfer-encoding" in exchange.headers:
            _check_framing(exchange.headers, modern=exchange.modern)
        exchange.path, exchange.query = _target(self._target)
        self._next.append(exchange)

    def on_body(self, chunk: bytes) -> None:
        assert self._reading is not None
        self._reading.take(chunk)

    def on_message_complete(self) -> None:
        exchange, self._reading = self._reading, None
        assert exchange is not None
        exchange.taken()
        if exchange.answered and exchange is not self._current:
            self._close()  # the rest of a refused body is here: the client can read why

    def _too_large(self) -> None:
        if self._head > HEAD_BYTES:
            raise Refused(431, f"target and headers are larger than {HEAD_BYTES >> 10} KiB")
        raise Refused(431, f"more than {HEADERS} headers")

    # what an exchange asks for

    @property
    def last(self) -> bool:
        return (self.closing or self._shared.draining) and not self._next

    @property
    def date(self) -> bytes:
        return self._shared.date

    def write(self, data: bytes) -> bool:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
        return self._can_write is None

    async def drained(self) -> None:
        if self._can_write is not None:
            await self._can_write.wait()

    def hold(self, holds: bool) -> None:
        if holds is not self._held and self._transport is not None and not self._transport.is_closing():
            self._held = holds
            (self._transport.pause_reading if holds else self._transport.resume_reading)()

    # what a server asks for

    @property
    def idle(self) -> bool:
        """Waiting for a request to begin."""
        return self._current is None and self._reading is None and not self._next

    @property
    def busy(self) -> bool:
        """An answer is under way."""
        return self._current is not None

    @property
    def reading_head(self) -> bool:
        return self._current is None and self._reading is not None and not self._next

    def end(self) -> None:
        """Now if nobody waits for an answer, else after it."""
        self.closing = True
        if self._current is None and not self._next:
            self._close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def time_out(self) -> None:
        self._refuse(Refused(408, "the request did not come in time"))

    # one request after the other

    def advance(self) -> None:
        while self._current is None and self._next:
            exchange = self._current = self._next.popleft()
            if len(self._next) == PIPELINED:
                self.hold(False)
            work = self._shared.front(exchange)
            if exchange.complete and self._shared.front.eager(exchange):
                self._run_now(work, copy_context())
            else:
                self._task = self._loop.create_task(work)
                self._task.add_done_callback(self._done)

    def _run_now(self, work: Work, context: Context) -> None:
        """Up to its first wait, in place; a call that never waits costs no task. One that waits for its model goes on
        when the model has answered; any other wait makes it a task."""
        try:
            pending = context.run(work.send, None)
        except StopIteration:
            self._finished()
            return
        except asyncio.CancelledError:  # the caller hung up
            self._finished()
            return
        if isinstance(pending, Answer):
            self._pending = pending
            pending.then = partial(self._go_on, work, context)
            return
        self._task = self._loop.create_task(_rest(work, pending), context=context)
        self._task.add_done_callback(self._done)

    def _go_on(self, work: Work, context: Context) -> None:
        self._pending = None
        self._run_now(work, context)
        self.advance()

    def _done(self, task: Task[None]) -> None:
        self._task = None
        self._finished()
        self.advance()
        if not task.cancelled():
            task.result()  # the front answers every error itself: what comes here is a bug, and goes to the log

    def _finished(self) -> None:
        exchange, self._current = self._current, None
        assert exchange is not None
        self.since = self._loop.time()
        if exchange.answered and exchange.keep_alive and (self._next or not (self.closing or self._shared.draining)):
            return
        self.closing = True
        self._next.clear()
        if exchange.answered and not exchange.complete:
            self.hold(False)
            self._loop.call_later(LINGER_SECONDS, self._close)
        else:
            self._close()

    def _refuse(self, refused: Refused) -> None:
        """Bytes that cannot be trusted to begin a request anywhere: the last answer of this connection."""
        self._shared.front.malformed(str(refused))
        if self._reading is not None:
            self._reading.breaks(str(refused))
        if self._current is None and not self._next and not self.closing:
            told = str(refused).replace("\\", "/").replace('"', "'")
            exchange = Exchange(self)
            exchange.reply(_refusal(refused.status, told))
        self.end()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def _rest(work: Work, pending: object) -> None:
    """The work from its first wait on, for a task to drive."""
    await _steps(work, pending)


@coroutine
def _steps(work: Work, pending: object) -> Generator[object, object, None]:
    """What `yield from` would do, had the work not taken its first step already."""
    while True:
        sent, thrown = None, None
        try:
            sent = yield pending
        except BaseException as error:  # noqa: BLE001  it is the work's: thrown into it at the next line
            thrown = error
        try:
            pending = work.send(sent) if thrown is None else work.throw(thrown)
        except StopIteration:
            return


def _refusal(status: int, told: str) -> Reply:
    return json_reply(b'{"error":{"type":"bad_request","message":"%b"}}' % told.encode("ascii", "replace"), status)


def _check_framing(headers: dict[bytes, bytes], *, modern: bool) -> None:
    """Where a body ends must not be a matter of opinion between us and a proxy in front of us."""
    if b"content-length" in headers:
        raise Refused(400, "both content-length and transfer-encoding")
    if headers[b"transfer-encoding"].strip().lower() != b"chunked" or not modern:
        raise Refused(400, "transfer-encoding other than chunked")


def _target(target: bytes) -> tuple[str, str]:
    """Path (decoded) and query (as it came) of a request target; an absolute one loses its scheme and host."""
    if not target.startswith(b"/"):
        _, scheme, rest = target.partition(b"://")
        if not scheme:
            return target.decode("latin-1"), ""
        target = b"/" + rest.partition(b"/")[2]
    path, _, query = target.partition(b"?")
    text = path.decode("utf-8", "replace")
    return (unquote(text) if "%" in text else text), query.decode("latin-1")
