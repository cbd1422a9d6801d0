"""The least that a gateway in Python can cost: bytes in, bytes out, a parser on both sides, and nothing decided.

Started by bench/gateway.py as `python -m bench.relay PORT UPSTREAM_PORT`. Reads which model is asked for and the usage
of an answer, as any gateway must; has no keys, limits, prices, journal or care for errors. A floor, not a product.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

import msgspec
import uvloop
from httptools import HttpRequestParser, HttpResponseParser


class Asked(msgspec.Struct):
    model: str
    stream: bool = False


class Usage(msgspec.Struct, frozen=True):
    total_tokens: int = 0


class Told(msgspec.Struct):
    usage: Usage = Usage()


_asked = msgspec.json.Decoder(Asked)
_told = msgspec.json.Decoder(Told)
_HEAD = b"HTTP/1.1 %d OK\r\ncontent-type: %b\r\n"


class Relay:
    """`idle`: connections to the upstream that wait for the next call."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.idle: list[Behind] = []
        self.tokens: dict[str, int] = {}

    async def ask(self, front: Front, path: bytes, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        _, behind = await loop.create_connection(lambda: Behind(self), "127.0.0.1", self.upstream)
        behind.ask(front, path, body)


class Behind(asyncio.Protocol):
    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.front: Front
        self.media = b""
        self.pieces: list[bytes] = []

    def ask(self, front: Front, path: bytes, body: bytes) -> None:
        self.front, self.pieces = front, []
        self.parser = HttpResponseParser(self)
        self.transport.write(
            b"POST %b HTTP/1.1\r\nhost: upstream\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (path, len(body), body)
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self.relay.idle:
            self.relay.idle.remove(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)
        if self.front.streamed and self.pieces:
            self.front.piece(self.media, b"".join(self.pieces))
            self.pieces = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type":
            self.media = value

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        body, front, relay = b"".join(self.pieces), self.front, self.relay
        self.pieces = []
        relay.idle.append(self)
        if front.streamed:
            front.piece(self.media, body)
            front.ended()
            return
        relay.tokens[front.model] = relay.tokens.get(front.model, 0) + _told.decode(body).usage.total_tokens
        front.whole(self.parser.get_status_code(), self.media, body)


class Front(asyncio.Protocol):
    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.parser = HttpRequestParser(self)
        self.model, self.streamed, self.begun, self.path = "", False, False, b""
        self.pieces: list[bytes] = []
        self.waiting: asyncio.Task[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.path = url

    def on_header(self, name: bytes, value: bytes) -> None:
        pass

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        body, self.pieces, self.begun = b"".join(self.pieces), [], False
        asked = _asked.decode(body)
        self.model, self.streamed = asked.model, asked.stream
        if self.relay.idle:
            self.relay.idle.pop().ask(self, self.path, body)
        else:
            self.waiting = asyncio.ensure_future(self.relay.ask(self, self.path, body))

    def whole(self, status: int, media: bytes, body: bytes) -> None:
        self.write(_HEAD % (status, media) + b"content-length: %d\r\n\r\n%b" % (len(body), body))

    def piece(self, media: bytes, piece: bytes) -> None:
        head = b"" if self.begun else _HEAD % (200, media) + b"transfer-encoding: chunked\r\n\r\n"
        self.begun = True
        if piece:
            self.write(b"%b%x\r\n%b\r\n" % (head, len(piece), piece))

    def ended(self) -> None:
        self.write(b"0\r\n\r\n")

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():  # the load generator ends in the middle of answers
            self.transport.write(data)


async def serve(port: int, upstream: int) -> None:
    relay = Relay(upstream)
    await asyncio.get_running_loop().create_server(lambda: Front(relay), "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
