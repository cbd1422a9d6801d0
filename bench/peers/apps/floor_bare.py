"""The floor of Python: an asyncio.Protocol on uvloop that feeds httptools and writes once, ONNX Runtime inline."""

from __future__ import annotations

import asyncio

import graph
import httptools
import tensors
import uvloop


class Connection(asyncio.Protocol):
    def __init__(self, answer) -> None:
        self.answer = answer

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.parts: list[bytes] = []
        self.head = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 31 and name.lower() == b"inference-header-content-length":
            self.head = int(value)

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        reply, head = self.answer(body, self.head) if body else (b"{}", 0)
        extra = b"inference-header-content-length: %d\r\n" % head if head else b""
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b"
            % (extra, len(reply), reply)
        )


async def serve(given) -> None:
    answer = tensors.answerer(given.model, given.file)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(answer), "127.0.0.1", given.port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(graph.arguments()))
