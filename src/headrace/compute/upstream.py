"""A small HTTP/1.1 client for services that a person configured: one pool of connections per service.

Called by serving/runtimes/upstream.py. Decides when a connection is used again, and what each way to fail is called:
UpstreamError for a service that is away, breaks off or talks nonsense, TimedOut for one that is late. Sends each
request once: whether it may be sent again, nobody here can know. Follows no redirect, uses no proxy, and does not talk
to link-local addresses, where clouds keep the keys of machines. Ignores what is said.

Written on httptools, which the data plane has anyway: an HTTP library would cost every data plane its memory.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import Future
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import cast
from urllib.parse import SplitResult, urlsplit

from httptools import HttpParserError, HttpResponseParser

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


class Upstream:
    """`name` is for messages. `url`: everything before the path that a request adds."""

    def __init__(self, name: str, url: str, *, connections: int, max_body: int = MAX_BODY) -> None:
        self.name = name
        self._url = parse_url(url)
        self._port = self._url.port or (443 if self._url.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._places = asyncio.Semaphore(connections)
        self._idle: list[_Line] = []
        self._all: set[_Line] = set()
        self._max_body = max_body
        self._closed = False

    async def post(
        self, path: str, headers: Mapping[str, str], body: bytes, *, seconds: float, hear: Hear | None = None
    ) -> Response:
        """Raises UpstreamError, TimedOut. `seconds` for all of it. `hear` gets the body of a 200 piece by piece as it
        comes; the response then has none."""
        line: _Line | None = None
        try:
            async with asyncio.timeout(seconds), self._places:
                line = self._reused() or await self._connect()
                response = await line.ask(self._head(path, headers, len(body)), body, hear)
        except TimeoutError:
            raise TimedOut(f"{self.name} did not answer within {seconds:.3g} s") from None
        except OSError as error:
            raise UpstreamError(f"{self.name} cannot be reached: {error}") from error
        finally:
            if line is not None:
                self._give_back(line)
        return response

    async def close(self) -> None:
        self._closed = True
        for line in list(self._all):
            line.end("it was unloaded")

    def _head(self, path: str, headers: Mapping[str, str], length: int) -> bytes:
        given = {"host": self._url.netloc, "content-length": str(length), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        return f"POST {self._url.path.rstrip('/')}{path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")

    def _reused(self) -> _Line | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            line = self._idle.pop()
            if line.open and now - line.since < IDLE_SECONDS:
                return line
            line.end("it was idle")
        return None

    async def _connect(self) -> _Line:
        if self._closed:
            raise UpstreamError(f"{self.name} was unloaded", retry_after=1.0)
        loop, host = asyncio.get_running_loop(), self._url.hostname or ""
        _, line = await loop.create_connection(
            lambda: _Line(self.name, self._max_body, self._all), host, self._port, ssl=self._tls
        )
        address = line.address()
        if address and ip_address(address.partition("%")[0]).is_link_local:
            line.end("it is link-local")
            raise UpstreamError(f"{self.name} is at {address}, a link-local address, which is not called")
        return line

    def _give_back(self, line: _Line) -> None:
        line.since = asyncio.get_running_loop().time()
        if line.open and line.idle and not self._closed:
            self._idle.append(line)
        else:
            line.end("it was given up")


class _Line(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self, name: str, max_body: int, all_lines: set[_Line]) -> None:
        self.since = 0.0
        self.idle = True
        self._name = name
        self._max_body = max_body
        self._all = all_lines
        self._transport: asyncio.Transport | None = None
        self._answer: Future[Response] | None = None
        self._hear: Hear | None = None

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def address(self) -> str:
        peer = self._transport.get_extra_info("peername") if self._transport else None
        return str(peer[0]) if peer else ""

    async def ask(self, head: bytes, body: bytes, hear: Hear | None = None) -> Response:
        assert self._transport is not None
        self.idle = False
        self._begin()
        self._hear = hear
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.writelines([head, body])
        response = await self._answer
        self.idle = self._keep
        return response

    def end(self, why: str) -> None:
        self._fail(f"the connection to {self._name} was closed: {why}")
        self._all.discard(self)
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._all.add(self)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.end("it spoke unasked")
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self.end(f"what came is not HTTP: {error}")
        if self._excess:
            self.end("it spoke unasked")

    def connection_lost(self, error: Exception | None) -> None:
        self._all.discard(self)
        if self._until_end and self._begun:
            self._keep = False
            self._complete()
        else:
            self._fail(
                f"{self._name} closed the connection {'in the middle of' if self._begun else 'without'} an answer"
            )

    # httptools' side

    def _begin(self) -> None:
        self._parser = HttpResponseParser(self)
        self._response = Response()
        self._pieces: list[bytes] = []
        self._size = 0
        self._begun = self._until_end = self._keep = self._done = self._excess = False

    def on_message_begin(self) -> None:
        """A second answer in the same bytes belongs to no request: it must not get into this one, nor into the next."""
        self._excess = self._done

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._done:
            return
        self._response.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._done:
            return
        self._response.status = self._parser.get_status_code()
        headers = self._response.headers
        self._until_end = "content-length" not in headers and "transfer-encoding" not in headers
        self._begun = True

    def on_body(self, piece: bytes) -> None:
        if self._done:
            return
        self._size += len(piece)
        if self._size > self._max_body:
            self.end(f"its answer is larger than {self._max_body} bytes")
            return
        if self._hear is not None and self._response.status == _OK:
            self._hear(piece)
        else:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self._done:
            return
        if self._response.status < 200:  # 100 Continue: the answer is still to come
            self._response = Response()
            self._begun = False
            return
        self._keep = self._parser.should_keep_alive()
        self._done = True
        self._complete()

    def _complete(self) -> None:
        self._response.body = b"".join(self._pieces)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._response)

    def _fail(self, message: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(UpstreamError(message, retry_after=1.0))

    _begun = _until_end = _keep = _done = _excess = False


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
