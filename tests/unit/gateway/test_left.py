"""Streams whose callers hang up: all is billed that had been made by then."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gateway_samples import ASK, DONE, Seen, assistant, chunk, gateway, streaming, ways

from headrace.traffic.record import HUNG_UP
from headrace.types.call import Call, CallStatus
from headrace.types.gateway import Chat

USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}


async def left(tmp_path: Path, *more: bytes) -> Call:
    """`more` comes between the moment in which the caller is gone and that in which anybody learns of it."""
    writers: list[asyncio.StreamWriter] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await streaming(chunk("Par"), then="hang")(reader, writer)

    async with gateway(tmp_path, one=script) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        seen = Seen()
        task = asyncio.create_task(site.ask(ASK | {"stream": True}, seen=seen))
        await asyncio.wait_for(seen.wrote.wait(), 5)
        for piece in more:
            writers[0].write(b"%x\r\n%b\r\n" % (len(piece), piece))
        task.cancel(HUNG_UP)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen.body == chunk("Par")
        (call,) = site.calls()
    assert (call.status, call.error) == (CallStatus.OK, HUNG_UP)
    return call


async def test_what_was_under_way_is_counted(tmp_path: Path) -> None:
    call = await left(tmp_path, chunk("is"), chunk(" nice"))
    assert call.spent is not None
    assert (call.spent.usage.output, call.spent.estimated) == (3, True)


async def test_a_usage_that_was_under_way_is_believed(tmp_path: Path) -> None:
    call = await left(tmp_path, chunk("is"), chunk(finish="stop"), chunk(usage=USAGE), DONE)
    assert call.spent is not None
    assert (call.spent.usage.input, call.spent.usage.output, call.spent.estimated) == (9, 5, False)


async def test_half_an_event_and_nonsense_are_nothing(tmp_path: Path) -> None:
    call = await left(tmp_path, chunk("is"), chunk("x")[:-9])
    assert call.spent is not None
    assert call.spent.usage.output == 2
