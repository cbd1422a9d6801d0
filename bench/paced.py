"""Streams as models send them, an event every 20 ms: an upstream that does so, and callers that note the first event.

The upstream is a process (`python -m bench.paced PORT`), started by bench/gateway.py, which has its callers here too.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import uvloop

from bench.words import events

PACE = 0.02
WORDS = 98
EVENTS = WORDS + 2
STREAMS = 32
SECONDS = 20  # that all of them may take, on a machine that is busy
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LAST = b"0\r\n\r\n"


class Speaker(asyncio.Protocol):
    """Answers whatever ends a request's body; one at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._left: list[bytes] = []
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, found, body = self._came.partition(b"\r\n\r\n")
        length = next((int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0)
        if found and len(body) >= length:
            self._came = b""
            self._left = [b"%x\r\n%b\r\n" % (len(event), event) for event in events(WORDS)][::-1]
            self._transport.write(_HEAD)
            self._say(self._loop.time())

    def _say(self, at: float) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self._left.pop())
        if self._left:
            self._loop.call_at(at + PACE, self._say, at + PACE)
        else:
            self._transport.write(_LAST)


async def listen(port: int, request: bytes, *, streams: int = STREAMS) -> list[float]:
    """So many streams at once, each to its end. Seconds from a request to its first event, in order."""
    async with asyncio.timeout(SECONDS):
        firsts = await asyncio.gather(*(_hear(port, request, number * PACE / streams) for number in range(streams)))
    return sorted(firsts)


async def _hear(port: int, request: bytes, later: float) -> float:
    """Begun one after the other within one pace: 32 at the very same moment would wait for each other."""
    await asyncio.sleep(later)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began, first, came = time.perf_counter(), 0.0, b""
    writer.write(request)
    while not came.endswith(_LAST):
        piece = await reader.read(65_536)
        if not piece:
            raise OSError(f"the stream was cut after {came[-200:]!r}")
        came += piece
        if not first and b"data: " in came:
            first = time.perf_counter() - began
    writer.close()
    if came.count(b"data: ") < EVENTS:
        raise OSError(f"events are missing: {came[-200:]!r}")
    return first


async def serve(port: int) -> None:
    await asyncio.get_running_loop().create_server(Speaker, "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
