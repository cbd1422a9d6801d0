"""An upstream for chat models that fails in every way an upstream can, and keeps count of what it has produced.

Called by the soak and by the tests of outages, in a thread of its own. The first segment of the path says how it
behaves (`/cut-middle/v1/chat/completions`), so that one server is as many providers as there are faults; it
speaks OpenAI's form. An answer has WORDS pieces of one token each; `produced` counts what left this end of the wire.
"""

from __future__ import annotations

import asyncio
import json
import select
import ssl
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORDS = ("A ", "race ", "leads ", "on ", "it.")  # short: an estimate by letters is not above their number
ASKED = 7  # tokens of any question
LATER = 7  # seconds of its Retry-After
SLOW = 0.15
PAUSE = 0.05  # so that two pieces of a stream are seen one after the other
HEAD = {"created": 1, "model": "up-2026"}


@dataclass(slots=True)
class Upstream:
    """`open`: connections; `came`: calls by fault; `produced`: tokens of answers by fault."""

    url: str = ""
    port: int = 0
    open: int = 0
    came: Counter[str] = field(default_factory=Counter)  # by fault
    produced: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)  # of these: when the other side had closed, which it knew not
    keys: set[str] = field(default_factory=set)  # that were shown
    pace: float = 0.0  # seconds between two pieces of a stream

    def provider(self, fault: str, **more: Any) -> dict[str, Any]:
        """As a document of the gateway has it."""
        return {"name": fault, "kind": "openai", "url": f"{self.url}/{fault}/v1", "private": True, **more}


@dataclass(slots=True)
class _Talk:
    """One request."""

    upstream: Upstream
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    stream: bool
    key: str
    fault: str

    async def whole(self, status: int, body: Any, *, media: str = "application/json", more: str = "") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {media}\r\n{more}content-length: {len(data)}\r\n\r\n"
        self.writer.write(head.encode() + data)
        await self.writer.drain()

    async def begin(self) -> None:
        self.writer.write(b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        await self.writer.drain()

    async def event(self, body: Any) -> None:
        data = b"data: " + (body if isinstance(body, bytes) else json.dumps(body).encode()) + b"\n\n"
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()

    async def words(self, count: int) -> None:
        """A stream's first pieces, each one counted when it has left."""
        for word in WORDS[:count]:
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            late = self.left()
            await self.event(HEAD | {"object": "chat.completion.chunk", "id": "c", "choices": [choice]})
            self.upstream.produced[self.fault] += 1
            self.upstream.late[self.fault] += late
            if self.upstream.pace:
                await asyncio.sleep(self.upstream.pace)

    def left(self) -> bool:
        """Whether the other side has closed already, as far as this machine knows."""
        number = self.writer.get_extra_info("socket").fileno()
        if number < 0:  # and this process, too
            raise ConnectionResetError
        ready = select.poll()
        ready.register(number, select.POLLRDHUP)
        return bool(ready.poll(0))

    async def rest(self) -> None:
        choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
        await self.event(HEAD | {"object": "chat.completion.chunk", "id": "c", "choices": [choice]})
        await self.event(HEAD | {"object": "chat.completion.chunk", "id": "c", "choices": [], "usage": usage()})
        await self.event(b"[DONE]")
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def answer(self) -> None:
        if self.stream:
            await self.begin()
            await self.words(len(WORDS))
            await self.rest()
            return
        self.upstream.produced[self.fault] += len(WORDS)
        await self.whole(200, answer())

    async def hang(self) -> None:
        """Until the other side gives up."""
        await self.reader.read()
        raise ConnectionResetError

    def cut(self) -> None:
        self.writer.close()
        raise ConnectionResetError


def answer() -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(WORDS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return HEAD | {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage()}


def usage() -> dict[str, int]:
    return {"prompt_tokens": ASKED, "completion_tokens": len(WORDS), "total_tokens": ASKED + len(WORDS)}


def _error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "x", **more}}


async def _well(talk: _Talk) -> None:
    await talk.answer()


async def _slow(talk: _Talk) -> None:
    await asyncio.sleep(SLOW)
    await talk.answer()


async def _hang(talk: _Talk) -> None:
    await talk.hang()


async def _hang_middle(talk: _Talk) -> None:
    if talk.stream:
        await talk.begin()
        await talk.words(2)
    else:
        talk.writer.write(b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{")
    await talk.hang()


async def _cut(talk: _Talk) -> None:
    talk.cut()


async def _cut_middle(talk: _Talk) -> None:
    if talk.stream:
        await talk.begin()
        await talk.words(2)
    else:
        talk.writer.write(b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{")
        await talk.writer.drain()
    talk.cut()


async def _storm(talk: _Talk) -> None:
    await talk.whole(429, _error("slow down", code="rate_limit_exceeded"))


async def _storm_later(talk: _Talk) -> None:
    await talk.whole(429, _error("slow down", code="rate_limit_exceeded"), more=f"retry-after: {LATER}\r\n")


async def _server(talk: _Talk) -> None:
    await talk.whole(500, _error("boom"))


async def _in_band(talk: _Talk) -> None:
    if talk.stream:
        await talk.begin()
        await talk.event(_error("boom inside"))
        talk.cut()
    await talk.whole(200, _error("boom inside"))


async def _in_band_middle(talk: _Talk) -> None:
    if talk.stream:
        await talk.begin()
        await talk.words(2)
        await asyncio.sleep(PAUSE)
        await talk.event(_error("boom inside"))
        talk.cut()
    await talk.whole(200, _error("boom inside"))


async def _nonsense(talk: _Talk) -> None:
    await talk.whole(200, b"<html>Bad gateway</html>", media="text/html")


async def _echo(talk: _Talk) -> None:
    """As badly written servers do: the key, in clear, wherever there is room."""
    more = f"x-request-id: {talk.key}\r\nopenai-organization: {talk.key}\r\n"
    await talk.whole(422, _error(f"key {talk.key} is not known", param=talk.key), more=more)


async def _locked(talk: _Talk) -> None:
    await talk.whole(401, _error("Incorrect API key provided: sk-c***d0", code="invalid_api_key"))


async def _echo_middle(talk: _Talk) -> None:
    """In an answer with status 200, and cut where it hurts."""
    body = json.dumps(_error(f"key {talk.key} is not known")).encode()
    if not talk.stream:
        await talk.whole(200, body)
        return
    await talk.begin()
    await talk.words(2)
    await asyncio.sleep(PAUSE)
    data, at = b"data: " + body + b"\n\n", 6 + body.index(talk.key.encode()) + len(talk.key) // 2
    for piece in (data[:at], data[at:]):
        talk.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await talk.writer.drain()
        await asyncio.sleep(PAUSE)
    talk.cut()


FAULTS: dict[str, Callable[[_Talk], Awaitable[None]]] = {
    "well": _well,
    "left": _well,  # for callers who hang up: counted by itself
    "slow": _slow,
    "hang": _hang,
    "hang-middle": _hang_middle,
    "cut": _cut,
    "cut-middle": _cut_middle,
    "429": _storm,
    "429-later": _storm_later,
    "500": _server,
    "401": _locked,
    "in-band": _in_band,
    "in-band-middle": _in_band_middle,
    "nonsense": _nonsense,
    "echo": _echo,
    "echo-middle": _echo_middle,
}


async def _serve(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    upstream.open += 1
    try:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip()
                names = {k.lower(): v for k, v in (line.split(": ", 1) for line in head.splitlines()[1:])}
                body = json.loads(await reader.readexactly(int(names["content-length"])))
                fault = head.split(" ", 2)[1].split("/")[1]
                key = names.get("authorization", "").removeprefix("Bearer ")
                upstream.came[fault] += 1
                upstream.keys.add(key)
                await FAULTS[fault](_Talk(upstream, reader, writer, body.get("stream") is True, key, fault))
    finally:
        upstream.open -= 1
        writer.close()


@contextmanager
def running_upstream(certificate: tuple[Path, Path] | None = None) -> Iterator[Upstream]:
    """`certificate`: and its key, for https."""
    upstream, started, loop = Upstream(), threading.Event(), asyncio.new_event_loop()
    ended = asyncio.Event()
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)

    async def run() -> None:
        talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            talks[task] = writer
            task.add_done_callback(talks.pop)
            await _serve(upstream, reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        upstream.port = server.sockets[0].getsockname()[1]
        upstream.url = f"http{'s' if context else ''}://127.0.0.1:{upstream.port}"
        started.set()
        await ended.wait()
        server.close()
        for writer in talks.values():
            writer.transport.abort()
        await asyncio.gather(*talks)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), name="upstream")
    thread.start()
    started.wait(10)
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()
