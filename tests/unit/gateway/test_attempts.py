"""Which upstreams a call took, as its line says it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gateway_samples import ANSWER, ASK, DONE, Seen, assistant, chunk, gateway, saying, streaming, ways

from headrace.types.call import Call
from headrace.types.gateway import Attempt, Breaker, Chat, Retries

PLAIN = Retries(attempts=1)
BUSY = saying(503, {"error": {"message": "busy"}})


def tried(call: Call) -> tuple[Attempt, ...]:
    assert call.spent is not None
    return call.spent.tried


def told(call: Call) -> list[tuple[str, str, int, str]]:
    return [(a.provider, a.outcome, a.status, a.error) for a in tried(call)]


@pytest.mark.parametrize("stream", [False, True])
async def test_one_that_answers_at_once_is_not_told_twice(tmp_path: Path, stream: bool) -> None:
    good = streaming(chunk("Paris."), chunk(finish="stop"), DONE) if stream else saying(200, ANSWER)
    async with gateway(tmp_path, one=good) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        await site.ask(ASK | {"stream": stream})
        (call,) = site.calls()
    assert tried(call) == ()


async def test_retries_and_the_next_way(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=BUSY, two=saying(200, ANSWER)) as site:
        chat = Chat(ways=ways("one", "two"), retries=Retries(attempts=2, base_ms=0), breaker=Breaker(failures=9))
        await site.apply(assistant(site.folders.add(chat)))
        await site.ask(ASK)
        (call,) = site.calls()
    busy = ("one", "overloaded", 503, "busy")
    assert told(call) == [busy, busy, ("two", "ok", 200, "")]
    first, second, last = tried(call)
    assert 0 <= first.at_ms <= first.at_ms + first.ms <= second.at_ms <= last.at_ms <= last.at_ms + last.ms
    assert last.at_ms + last.ms <= call.latency_ms
    assert (first.model, last.first_ms) == ("one-model", 0.0)


async def test_a_stream_tells_when_it_began_and_how_it_ended(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=BUSY, two=streaming(chunk("Par"), then="cut")) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one", "two"), retries=PLAIN))))
        await site.ask(ASK | {"stream": True})
        (call,) = site.calls()
    first, second = tried(call)
    assert (first.outcome, second.provider, second.outcome, second.status) == ("overloaded", "two", "broken", 200)
    assert 0 <= second.first_ms <= second.ms
    assert "in the middle" in second.error


async def test_a_failure_that_is_the_only_attempt(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(401, {"error": {"message": "bad key"}})) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        with pytest.raises(Exception, match="were refused"):
            await site.ask(ASK)
        (call,) = site.calls()
    assert told(call) == [("one", "auth", 401, "bad key")], "what callers are not told"
    assert "bad key" not in call.error


async def test_who_lost_a_race_is_told_too(tmp_path: Path) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with gateway(tmp_path, one=hang, two=saying(200, ANSWER)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one", "two"), hedge_ms=20))))
        await site.ask(ASK)
        (call,) = site.calls()
    assert sorted(told(call)) == [("one", "given_up", 0, ""), ("two", "ok", 200, "")]


async def test_a_caller_who_hangs_up_while_nobody_answers(tmp_path: Path) -> None:
    came = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        await reader.read()

    async with gateway(tmp_path, one=hang) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        asking = asyncio.create_task(site.ask(ASK, seen=Seen()))
        await came.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        (call,) = site.calls()
    assert told(call) == [("one", "given_up", 0, "")]
