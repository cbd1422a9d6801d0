"""What a chat costs on its way through the data plane, and that a stream is not held up; without looking at a watch."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from gateway_samples import ANSWER, ASK, DONE, Site, assistant, chunk, gateway, price, saying, streaming, ways
from http_edge import Line, parse
from http_edge import Site as Server

from headrace.api.http.edge import Edge, Route
from headrace.api.http.llm import LlmHandler
from headrace.traffic.keys import make_key
from headrace.types.gateway import Chat, Counted, Level, Limit, VirtualKey, Window, Wire

# Python functions of ours that one call may run. What was added lately is in the message of a failure: do it once for
# a plan, a route or a key instead of for each call, or leave it to C.
STEPS = 125
FORMS = {Wire.CHAT: "/chat/completions", Wire.MESSAGES: "/messages"}


@asynccontextmanager
async def door(site: Site) -> AsyncIterator[tuple[Any, Line, str]]:
    """A connection of a client with a key, counted by three limits, at an endpoint with a price that keeps all."""
    made = make_key(b"", VirtualKey(id="", hash="", name="steps", team="search"), now=0.0)
    wide = [Limit(level=Level.ALL, counted=what, window=Window.DAY, amount=1e9) for what in Counted]
    endpoint = assistant(site.folders.add(Chat(ways=ways("one"))))
    prices = (price("one", input=1.0, output=4.0),)
    await site.apply(endpoint, keys=(made.key,), limits=tuple(wide[:3]), prices=prices)
    llm = LlmHandler(site.completer, site.completer.recorder.meter, user_header="x-user-id", limit=1 << 20)
    edge = Edge([Route("POST", f"/v1{tail}", llm.call(wire, tail)) for wire, tail in FORMS.items()], llm._meter)
    connection, line = Server(edge).connect()
    yield connection, line, made.secret.reveal()
    connection.connection_lost(None)


def request(key: str, body: Any, tail: str = FORMS[Wire.CHAT]) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST /v1{tail} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer {key}\r\n"
    return f"{head}x-user-id: ada\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data


async def until(line: Line, found: bytes) -> None:
    async with asyncio.timeout(10):
        while found not in line.written:
            line.wrote.clear()
            await line.wrote.wait()


async def test_a_call_with_all_on_takes_no_more_steps_than_this(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site, door(site) as (connection, line, key):

        async def ask() -> None:
            line.written = b""
            connection.data_received(request(key, ASK))
            await until(line, json.dumps(ANSWER).encode())
            assert parse(line.written)[0].status == 200
            await asyncio.sleep(0)  # its task ends

        for _ in range(3):
            await ask()
        runs = []
        for _ in range(3):
            with counted() as steps:
                await ask()
            runs.append(steps)
    least = min(runs, key=lambda run: run.total())
    assert len(site.calls()) == 6
    assert 50 < least.total() <= STEPS, least.most_common(40)


class counted:
    """Calls of Python functions in Headrace's own files; without those of the clock, which is not the real one."""

    def __enter__(self) -> Counter[str]:
        self.steps: Counter[str] = Counter()
        self._before = sys.getprofile()
        sys.setprofile(self._count)
        return self.steps

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    def _count(self, frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and "/headrace/" in file and not file.endswith("/base/clock.py"):
            self.steps[f"{file.rpartition('/headrace/')[2]}:{frame.f_code.co_qualname}"] += 1


@pytest.mark.parametrize("wire", FORMS, ids=str)
async def test_the_first_words_are_with_the_caller_before_the_next_ones_are_said(tmp_path: Path, wire: Wire) -> None:
    """The upstream says no more until the caller has heard what was said: a gateway that gathers waits for ever."""
    heard = [asyncio.Event() for _ in range(3)]
    words = ["Pa", "ris", "."]

    async def said_and_heard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await streaming(chunk(words[0]), then="on")(reader, writer)
        for word, before in zip([*words[1:], None], heard, strict=True):
            async with asyncio.timeout(10):
                await before.wait()
            piece = chunk(word) if word else chunk(finish="stop") + DONE
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")

    async with gateway(tmp_path, one=said_and_heard) as site, door(site) as (connection, line, key):
        connection.data_received(request(key, ASK | {"stream": True, "max_tokens": 9}, FORMS[wire]))
        for word, mark in zip(words, heard, strict=True):
            await until(line, json.dumps(word).encode())
            mark.set()
        await until(line, b"\r\n0\r\n\r\n")
    assert parse(line.written)[0].status == 200
