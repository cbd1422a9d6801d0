"""Several children as one: whoever is idle, one call each, and each dies alone. Real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.compute.host import HostLimits, HostProcess
from headrace.compute.pool import HostPool
from headrace.types.errors import ModelFailed, ModelRefused, TimedOut, Unavailable

CHILD = """
    import os, sys, time
    from headrace.compute.frames import Connection
    folder = sys.argv[1]
    connection = Connection(int(sys.argv[-1]))
    if os.path.exists(f"{folder}/refuse"):
        connection.send({"error": "I will not"})
        sys.exit(1)
    connection.send({"ready": True})
    while True:
        header, blobs = connection.receive()
        if header["op"] == "die": os._exit(7)
        if header["op"] == "wait":  # until it is let go
            open(f"{folder}/at-{header['name']}", "w").close()
            while not os.path.exists(f"{folder}/go-{header['name']}"): time.sleep(0.005)
        connection.send({"id": header["id"], "pid": os.getpid()})
"""
QUICK = HostLimits(
    start_seconds=20, call_seconds=20, wait_seconds=10, first_pause=0.01, longest_pause=0.05, grace_seconds=0.1
)


@asynccontextmanager
async def pool(folder: Path, instances: int, limits: HostLimits = QUICK) -> AsyncIterator[HostPool]:
    program = folder / "child.py"
    program.write_text(textwrap.dedent(CHILD))
    argv = [sys.executable, str(program), str(folder)]
    made = HostPool("toy", lambda n: HostProcess(f"toy.{n}", argv, log_path=folder / f"{n}.log", limits=limits), limits)
    await made.scale(instances)
    try:
        yield made
    finally:
        await made.close()


class Holding:
    """Calls that stay in their child until they are let go."""

    def __init__(self, found: HostPool, folder: Path) -> None:
        self._pool = found
        self._folder = folder
        self.calls: dict[str, asyncio.Task[int]] = {}

    async def begin(self, name: str, **options: float) -> asyncio.Task[int]:
        async def ask() -> int:
            return int((await self._pool.call({"op": "wait", "name": name}, **options))[0]["pid"])

        self.calls[name] = asyncio.create_task(ask())
        while not (self._folder / f"at-{name}").exists():
            await asyncio.sleep(0.005)
        return self.calls[name]

    async def end(self, name: str) -> int:
        (self._folder / f"go-{name}").touch()
        return await self.calls[name]


async def pid_of(found: HostPool) -> int:
    return int((await found.call({"op": "who"}))[0]["pid"])


async def test_calls_go_to_who_is_idle_and_wait_in_order_when_nobody_is(tmp_path: Path) -> None:
    async with pool(tmp_path, 2) as found:
        held = Holding(found, tmp_path)
        first, second = await held.begin("a"), await held.begin("b")
        waiting = [asyncio.create_task(pid_of(found)) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in (first, second, *waiting))
        at_a = await held.end("a")
        assert await asyncio.gather(*waiting) == [at_a] * 3
        assert await held.end("b") != at_a


async def test_one_dies_alone_and_comes_back(tmp_path: Path) -> None:
    async with pool(tmp_path, 2) as found:
        held = Holding(found, tmp_path)
        await held.begin("a")
        with pytest.raises(ModelFailed, match="exit status 7"):
            await found.call({"op": "die"})
        while sum(host.restarts for host in found.hosts) == 0:
            await asyncio.sleep(0.005)
        other = await pid_of(found)
        assert await held.end("a") != other
        assert sum(host.restarts for host in found.hosts) == 1


async def test_a_call_that_waits_is_served_by_the_one_that_comes_back(tmp_path: Path) -> None:
    async with pool(tmp_path, 1) as found:
        before = await pid_of(found)
        os.kill(before, signal.SIGKILL)
        answers = await asyncio.gather(*(pid_of(found) for _ in range(4)), return_exceptions=True)
        served = [a for a in answers if isinstance(a, int)]
        assert len(served) >= 3  # one may have been under way
        assert before not in served


async def test_past_its_deadline_a_call_costs_only_its_own_child(tmp_path: Path) -> None:
    async with pool(tmp_path, 2) as found:
        held = Holding(found, tmp_path)
        await held.begin("a")
        late = await held.begin("late", deadline=asyncio.get_running_loop().time() + 0.05)
        with pytest.raises(ModelFailed, match="stuck"):
            await late
        assert isinstance(await held.end("a"), int)
        assert sum(host.restarts for host in found.hosts) <= 1


async def test_a_call_that_finds_nobody_free_until_its_deadline_is_told_so(tmp_path: Path) -> None:
    async with pool(tmp_path, 1) as found:
        held = Holding(found, tmp_path)
        await held.begin("a")
        with pytest.raises(TimedOut, match="1 are busy"):
            await found.call({"op": "who"}, deadline=asyncio.get_running_loop().time() + 0.02)
        await held.end("a")
        assert await pid_of(found)


async def test_a_call_that_is_given_up_does_not_occupy_its_child_for_long(tmp_path: Path) -> None:
    async with pool(tmp_path, 1) as found:
        held = Holding(found, tmp_path)
        left = await held.begin("a")
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert await pid_of(found)  # a new one: the old was still waiting
        assert found.hosts[0].restarts == 1


async def test_a_waiting_call_that_is_given_up_takes_nobodys_turn(tmp_path: Path) -> None:
    async with pool(tmp_path, 1) as found:
        held = Holding(found, tmp_path)
        await held.begin("a")
        waiting = [asyncio.create_task(pid_of(found)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        pid = await held.end("a")
        assert await asyncio.gather(*waiting[1:]) == [pid] * 2
        assert found.hosts[0].restarts == 0


async def test_it_grows_and_shrinks_under_calls(tmp_path: Path) -> None:
    async with pool(tmp_path, 1) as found:
        held = Holding(found, tmp_path)
        await held.begin("a")
        await found.scale(3)
        await held.begin("b")
        await held.begin("c")
        assert found.instances == 3
        shrinking = asyncio.create_task(found.scale(1))
        await asyncio.sleep(0)
        assert found.instances == 1
        pids = [await held.end(name) for name in "abc"]
        await shrinking
        assert len(set(pids)) == 3
        assert await pid_of(found) == pids[0]
        for gone in pids[1:]:
            with pytest.raises(ProcessLookupError):
                os.kill(gone, 0)
        await found.scale(0)
        assert found.instances == 1


async def test_when_a_new_one_does_not_get_ready_it_is_as_it_was(tmp_path: Path) -> None:
    async with pool(tmp_path, 1) as found:
        (tmp_path / "refuse").touch()
        with pytest.raises(ModelRefused, match="I will not"):
            await found.scale(2)
        assert found.instances == 1
        assert await pid_of(found)


async def test_when_none_comes_back_it_is_unavailable_after_a_bound(tmp_path: Path) -> None:
    async with pool(tmp_path, 1, replace(QUICK, wait_seconds=0.2)) as found:
        (tmp_path / "refuse").touch()
        with pytest.raises(ModelFailed):
            await found.call({"op": "die"})
        with pytest.raises(Unavailable, match="not back yet"):
            await found.call({"op": "who"})


async def test_closing_ends_calls_under_way_and_waiting_ones(tmp_path: Path) -> None:
    async with pool(tmp_path, 1) as found:
        held = Holding(found, tmp_path)
        under_way = await held.begin("a")
        waiting = asyncio.create_task(pid_of(found))
        await asyncio.sleep(0)
        await found.close()
        with pytest.raises(ModelFailed, match="it was closed"):
            await under_way
        with pytest.raises(Unavailable, match="closed"):
            await waiting
        with pytest.raises(Unavailable, match="closed"):
            await pid_of(found)
