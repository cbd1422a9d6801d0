"""When a loop turns, and what a failure does. The clock is moved by hand; only `stop` waits for real threads."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.base.clock import ManualClock
from headrace.control import loops as room
from headrace.control.loops import Loop, Loops, LoopState, wait_before
from headrace.types.errors import UpstreamError


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


async def pauses(loop: Loop, executor: ThreadPoolExecutor, *, turns: int) -> list[float]:
    """How long it waited after each turn."""
    waited: list[float] = []

    async def pause(seconds: float) -> bool:
        waited.append(seconds)
        return len(waited) >= turns

    await loop.run(executor, pause)
    return waited


async def test_it_turns_at_its_own_pace(executor: ThreadPoolExecutor) -> None:
    loop = Loop("live", lambda: False, seconds=0.25, clock=ManualClock())
    assert await pauses(loop, executor, turns=3) == [0.25, 0.25, 0.25]
    assert (loop.state.turns, loop.state.failures) == (3, 0)


async def test_it_turns_at_once_while_there_is_more(executor: ThreadPoolExecutor) -> None:
    left = [True, True, False]
    loop = Loop("live", lambda: left.pop(0), seconds=1.0, clock=ManualClock())
    assert await pauses(loop, executor, turns=3) == [0.0, 0.0, 1.0]


async def test_a_failure_is_counted_shown_and_waited_for(
    executor: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [True] * 6 + [False]

    def step() -> None:
        if bad.pop(0):
            raise UpstreamError("MLflow does not answer", hint="start it")

    loop = Loop("mirror", step, seconds=1.0, clock=ManualClock(), patience=10.0)
    with caplog.at_level(logging.INFO):
        assert await pauses(loop, executor, turns=6) == [2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
        assert loop.state.failing == 6
        assert loop.state.error == "MLflow does not answer (start it)"
        failed = [r for r in caplog.records if r.message == "loop failed"]
        assert [r.fields["failing"] for r in failed] == [1, 2, 4], "said, and not shouted"
        assert {r.levelname for r in failed} == {"WARNING"}
        assert await pauses(loop, executor, turns=1) == [1.0]
    assert (loop.state.failures, loop.state.failing, loop.state.error) == (6, 0, "")
    assert "loop works again" in caplog.text


async def test_a_bug_does_not_end_it_and_is_logged_with_its_trace(
    executor: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    loop = Loop("live", lambda: 1 / 0, seconds=1.0, clock=ManualClock())
    await pauses(loop, executor, turns=2)
    assert loop.state.failures == 2
    assert loop.state.error.startswith("ZeroDivisionError")
    assert caplog.records[0].levelname == "ERROR"
    assert caplog.records[0].exc_info


async def test_it_measures_itself_and_rests(executor: ThreadPoolExecutor) -> None:
    clock = ManualClock()
    took = [3.0, 0.1]
    loop = Loop("registry", lambda: clock.move(took.pop(0)), seconds=2.0, clock=clock, rest=4.0)
    assert await pauses(loop, executor, turns=2) == pytest.approx([12.0, 2.0])
    assert loop.state.last_seconds == pytest.approx(0.1)
    assert loop.state.slowest_seconds == pytest.approx(3.0)
    assert loop.state.last_time == clock.now()


@given(st.floats(0.01, 60), st.integers(0, 1000), st.floats(0.1, 60), st.floats(0, 5))
def test_the_wait_is_bounded(seconds: float, failing: int, patience: float, took: float) -> None:
    state = LoopState(name="x", seconds=seconds, failing=failing, last_seconds=took)
    wait = wait_before(state, patience, rest=2.0)
    assert max(seconds, 2 * took) <= wait <= max(seconds, 2 * took, patience)


def counting(step: Callable[[], None]) -> tuple[Callable[[], None], list[int]]:
    """The step, and the most that it ran at once."""
    lock, inside, most = threading.Lock(), [0], [0]

    def run() -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        step()
        with lock:
            inside[0] -= 1

    return run, most


async def test_loops_run_beside_each_other_and_none_overlaps_itself() -> None:
    meeting = threading.Barrier(2, timeout=30)  # only passed when both steps are under way
    first, most_first = counting(lambda: meeting.wait() and None)
    second, most_second = counting(lambda: meeting.wait() and None)
    loops = Loops([Loop(n, s, seconds=0.001, clock=ManualClock()) for n, s in (("a", first), ("b", second))])
    loops.start()
    while min(state.turns for state in loops.states()) < 20:
        await asyncio.sleep(0.001)
    meeting.abort()
    assert await loops.stop() == ()
    assert most_first == most_second == [1]


async def test_stop_waits_for_a_step_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "STOP_SECONDS", 0.05)
    entered, release = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        release.wait(30)

    loops = Loops([Loop("slow", hang, seconds=1, clock=ManualClock())])
    loops.start()
    await asyncio.to_thread(entered.wait, 30)
    assert await loops.stop() == ("slow",)
    release.set()


async def test_stop_ends_waiting_loops_at_once() -> None:
    loops = Loops([Loop("idle", lambda: None, seconds=3600, clock=ManualClock())])
    loops.start()
    while not loops.states()[0].turns:
        await asyncio.sleep(0.001)
    async with asyncio.timeout(2):
        assert await loops.stop() == ()


async def test_stop_without_start() -> None:
    assert await Loops([]).stop() == ()
