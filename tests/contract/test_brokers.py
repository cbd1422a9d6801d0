"""What every broker of stream must do, on a real server: deliver until acknowledged, write each id once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace.stream.brokers.base import Letter, Message, Source, broker, place_of
from headrace.types.errors import BadInput, UpstreamError
from tests.brokers import PARAMETERS, SERVERS, Server

pytestmark = pytest.mark.process
IDLE = 1.0


@pytest.fixture(params=PARAMETERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    made = SERVERS[request.param](tmp_path)
    yield made
    made.kill()


@asynccontextmanager
async def source(server: Server, group: str = "g", idle: float = IDLE) -> AsyncIterator[Source]:
    place = place_of(server.url("in"), field="from")
    made = broker(place).source(place, group=group, idle_seconds=idle)
    yield made
    await made.close()


async def read(made: Source, count: int, limit: int = 100) -> list[Message]:
    found: list[Message] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            found += await made.read(limit, 0.2)
    return found


async def test_what_is_not_acknowledged_goes_to_another(server: Server) -> None:
    await asyncio.to_thread(server.put, "in", [b"1", b"2", b"3"])
    async with source(server) as first, source(server) as second:
        found = await read(first, 3)
        assert sorted(m.body for m in found) == [b"1", b"2", b"3"]
        assert len({m.id for m in found}) == 3
        await first.done([m for m in found if m.body == b"2"])
        again = await read(second, 2)
        assert {(m.id, m.body) for m in again} == {(m.id, m.body) for m in found if m.body != b"2"}
        assert all(m.deliveries == 2 for m in again)
        await second.done(again)
        assert await asyncio.to_thread(server.open_work, "in", "g") == 0


async def test_what_is_held_stays(server: Server) -> None:
    await asyncio.to_thread(server.put, "in", [b"1"])
    async with source(server) as first, source(server) as second:
        found = await read(first, 1)
        for _ in range(10):
            await first.hold(found)
            assert await second.read(10, 0.2) == []
        await first.done(found)


async def test_groups_get_all_messages_each(server: Server) -> None:
    await asyncio.to_thread(server.put, "in", [b"1", b"2"])
    async with source(server, "g") as first, source(server, "h") as second:
        assert len(await read(first, 2, limit=1)) == 2
        assert len(await read(second, 2)) == 2


async def test_an_id_is_written_once(server: Server) -> None:
    place = place_of(server.url("out"), field="to")
    one, two = broker(place).sink(place), broker(place).sink(place)
    letters = [Letter(id=f"in/{i}", body=json.dumps({"n": i}).encode()) for i in range(3)]
    await one.write(letters)
    await asyncio.gather(one.write(letters), two.write(letters[1:]))
    await one.close()
    await two.close()
    found: list[dict[str, Any]] = await asyncio.to_thread(server.read, "out")
    assert [f["n"] for f in found] == [0, 1, 2]


async def test_a_broker_that_is_away_is_said_so_and_found_again(server: Server) -> None:
    await asyncio.to_thread(server.put, "in", [b"1", b"2"])
    async with source(server) as made:
        first = (await read(made, 1, limit=1))[0]
        await asyncio.to_thread(server.kill)
        with pytest.raises(UpstreamError):
            await made.done([first])
        await asyncio.to_thread(server.start)
        # What could not be acknowledged comes again, unless the client's buffer still got it through.
        seen = {first.body}
        async with asyncio.timeout(30):
            while seen != {b"1", b"2"} or await asyncio.to_thread(server.open_work, "in", "g"):
                try:
                    found = await made.read(10, 0.2)
                    await made.done(found)
                    seen |= {m.body for m in found}
                except UpstreamError:
                    await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1/in", "scheme 'http'; allowed: redis"),
        ("redis://127.0.0.1:6379", "names no stream"),
        ("redis:///in", "names no host"),
    ],
)
def test_urls(url: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        place_of(url, field="from")
