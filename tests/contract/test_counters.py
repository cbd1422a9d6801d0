"""One contract, three stores: exactly as many pass as may, whatever the clock does and whoever dies."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.base.clock import ManualClock
from headrace.store.counters.base import NEVER, Counters, Gauge, Seed, month_start, span
from headrace.store.counters.remote import RemoteCounters
from headrace.store.counters.shared import PLACES, SharedCounters
from headrace.types.errors import Unavailable
from headrace.types.gateway import Window
from tests.counters import START, Made, RedisServer, settled

MINUTE = Gauge("requests:key:a", Window.MINUTE, 3)
MONTH = Gauge("cost:key:a", Window.MONTH, 100)
INSIDE = Gauge("concurrency:key:a", None, 2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    yield running
    running.kill()


@pytest.fixture(params=["local", "shared", "remote"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    url = request.getfixturevalue("server").url if request.param == "remote" else ""
    name = f"{{{request.node.name}}}:"
    return Made(request.param, tmp_path, url=url, prefix=name)


async def passes(counters: Counters, *gauges: Gauge, amounts: tuple[int, ...] = ()) -> bool:
    taken = await counters.take(gauges, amounts or (1,) * len(gauges))
    return taken.refused < 0


async def test_exactly_as_many_pass_as_may(made: Made) -> None:
    counters = made.another()
    assert [await passes(counters, MINUTE) for _ in range(5)] == [True] * 3 + [False] * 2
    await counters.close()


async def test_all_or_nothing(made: Made) -> None:
    counters = made.another()
    for _ in range(2):
        assert await passes(counters, MINUTE, MONTH, amounts=(1, 40))
    refused = await counters.take((MINUTE, MONTH), (1, 40))
    assert (refused.refused, refused.used, refused.lease) == (1, (2, 80), None)
    assert await passes(counters, MINUTE, MONTH, amounts=(1, 20))
    await counters.close()


async def test_settled_by_the_truth(made: Made) -> None:
    counters = made.another()
    first = await counters.take((MINUTE, MONTH, INSIDE), (1, 60, 1))
    counters.give(first.lease, (1, 95, 0))  # more than was reserved: the next one pays for it
    await settled(counters)
    over = await counters.take((MONTH,), (6,))
    assert (over.refused, over.used) == (0, (95,))
    exact = await counters.take((MONTH, INSIDE), (5, 1))
    assert (exact.refused, exact.used) == (-1, (100, 1))
    counters.give(exact.lease, (0, 0))  # never ran
    await settled(counters)
    assert (await counters.take((MONTH,), (0,))).used == (95,)
    await counters.close()


async def test_windows_end_with_the_minute_the_day_and_the_month(made: Made) -> None:
    counters = made.another()
    day = Gauge("tokens:all:*", Window.DAY, 10)
    taken = await counters.take((MINUTE, day, MONTH), (3, 10, 100))
    assert taken.ends == (START + 60,) * 3
    assert not await passes(counters, day)
    made.clock.move(60)
    after = await counters.take((MINUTE, day, MONTH, INSIDE), (1, 1, 1, 1))
    assert after.used == (1, 1, 1, 1)
    assert after.ends == (START + 120, START + 60 + 86_400, START + 60 + 30 * 86_400, NEVER)
    await counters.close()


async def test_a_clock_that_jumps_gives_nothing_away(made: Made) -> None:
    counters = made.another()
    taken = await counters.take((MINUTE,), (3,))
    counters.give(taken.lease, (3,))
    await settled(counters)
    for jump in (3_600, -3_600, -60, 86_400, -86_400, 30 * 86_400):
        made.clock.offset = jump
        await passes(counters, INSIDE)
        made.clock.offset = 0.0
        assert not await passes(counters, MINUTE), jump
    await counters.close()


async def test_what_was_never_settled_comes_back(made: Made) -> None:
    if made.kind == "shared":
        pytest.skip("there a worker's next life clears its own: test_a_killed_worker_leaves_nothing_behind")
    counters = made.another(lease_seconds=30)
    lost = await counters.take((INSIDE, MONTH), (2, 60))
    made.clock.move(29)
    assert not await passes(counters, INSIDE)
    made.clock.move(1)
    again = await counters.take((INSIDE, MONTH), (1, 0))
    assert again.used == (1, 0)
    counters.give(lost.lease, (0, 70))  # it ended after all, late
    await settled(counters)
    assert (await counters.take((INSIDE, MONTH), (1, 0))).used == (2, 70)
    await counters.close()


async def test_a_seed_raises_and_never_adds(made: Made) -> None:
    counters = made.another()
    number = span(Window.MONTH, START).number
    for _ in range(3):
        await counters.seed([Seed("cost:key:a", Window.MONTH, number, 90)])
    assert not await passes(counters, MONTH, amounts=(11,))
    assert await passes(counters, MONTH, amounts=(10,))
    await counters.seed([Seed("cost:key:a", Window.MONTH, number, 50)])
    assert not await passes(counters, MONTH)
    await counters.close()


async def test_settling_twice_is_settling_once(made: Made) -> None:
    if made.kind != "remote":
        pytest.skip("only who writes over a network writes twice")
    counters = made.another()
    taken = await counters.take((MONTH,), (50,))
    for _ in range(3):
        counters.give(taken.lease, (20,))
    await settled(counters)
    assert (await counters.take((MONTH,), (0,))).used == (20,)
    await counters.close()


@given(st.integers(0, 4_000_000_000))
def test_every_second_is_in_one_month(now: int) -> None:
    number, end = span(Window.MONTH, now)
    assert month_start(number) <= now < end == month_start(number + 1)


@pytest.mark.parametrize("when", [0, 68_169_599, 68_169_600, 951_782_399, 951_868_800, 1_709_164_800, 4_107_542_400])
async def test_redis_knows_the_same_months(server: RedisServer, when: int) -> None:
    counters = RemoteCounters(
        server.url, clock=ManualClock(), prefix=f"{{m{when}}}:", patience=5.0, now=lambda: str(when)
    )
    assert (await counters.take((MONTH,), (1,))).ends == (span(Window.MONTH, when).end,)
    await counters.close()


@pytest.mark.process
@pytest.mark.parametrize("kind", ["shared", "remote"])
def test_three_processes_let_exactly_as_many_pass_as_may(kind: str, tmp_path: Path, server: RedisServer) -> None:
    where = server.url if kind == "remote" else str(tmp_path / "counters")
    running = [start(where, own, "400", "end") for own in range(3)]
    passed = [int(each.communicate(timeout=120)[0]) for each in running]
    assert sum(passed) == 500, passed


@pytest.mark.process
async def test_a_killed_worker_leaves_nothing_behind(tmp_path: Path) -> None:
    where = tmp_path / "counters"
    held = start(str(where), 1, "200", "hold")
    assert held.stdout is not None
    assert int(await asyncio.to_thread(held.stdout.readline)) == 200
    clock = ManualClock()
    clock.time = time.time()
    other = SharedCounters(where, workers=4, own=0, clock=clock)
    gauge = Gauge("requests:key:abc", Window.MONTH, 500)
    assert (await other.take((gauge,), (0,))).used == (200,)
    held.kill()
    held.communicate()
    reborn = SharedCounters(where, workers=4, own=1, clock=clock)
    assert (await other.take((gauge,), (0,))).used == (0,)
    await reborn.close()
    await other.close()


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
async def test_a_server_that_is_away_says_so_and_is_not_waited_for(tmp_path: Path) -> None:
    own = RedisServer(tmp_path)
    clock = ManualClock()
    counters = RemoteCounters(own.url, clock=clock, patience=1.0)
    taken = await counters.take((MONTH,), (50,))
    own.kill()
    with pytest.raises(Unavailable, match="cannot be reached"):
        await counters.take((MONTH,), (1,))
    with pytest.raises(Unavailable, match="a moment ago"):
        await counters.take((MONTH,), (1,))
    counters.give(taken.lease, (50,))  # kept, and never raises
    own.start()
    clock.move(2)
    assert await passes(counters, MONTH)
    await counters.close()
    own.kill()


async def test_a_full_table_of_counters_is_no_free_ride(tmp_path: Path) -> None:
    clock = ManualClock()
    counters = SharedCounters(tmp_path / "counters", workers=1, own=0, clock=clock)

    async def fill() -> None:
        for number in range(PLACES + 1):
            await counters.take((Gauge(f"n{number}", Window.MINUTE, 1),), (1,))

    with pytest.raises(Unavailable, match="no room"):
        await fill()
    clock.move(2 * 3_600)
    assert await passes(counters, Gauge("another", Window.MINUTE, 1))
    await counters.close()


def start(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.counters", *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
