"""The watch: which plan is tried when, and that nothing stops it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from plane_samples import ScriptedRuntime, Trusting, endpoint, package, plan, recorder

from headrace.base.clock import ManualClock
from headrace.serving import watch as watching
from headrace.serving.fleet import Fleet, Refusal
from headrace.serving.predict import Predictor
from headrace.serving.watch import Watch
from headrace.types.endpoint import Plan
from headrace.types.errors import Unavailable
from headrace.types.model import RuntimeKind

V1, V2 = package(1), package(2)


class Shelf:
    """Plans in a database that can go away, and the file beside it."""

    def __init__(self, newest: Plan | None = None, kept: Plan | None = None) -> None:
        self.newest, self.kept = newest, kept
        self.gone = False
        self.error: Exception | None = None

    def revision(self) -> int:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        if self.gone:
            raise Unavailable("the database does not answer")
        return self.newest.revision if self.newest else 0

    def latest(self) -> Plan | None:
        self.revision()
        return self.newest

    def save(self, plan: Plan) -> None:
        self.kept = plan

    def load(self) -> Plan | None:
        return self.kept


class Watched:
    def __init__(self, shelf: Shelf, *damaged: int) -> None:
        self.shelf = shelf
        self.verifier = Trusting(*damaged)
        found = recorder(clock=ManualClock())
        self.fleet = Fleet(
            Predictor(found),
            artifacts=self.verifier,
            runtimes={RuntimeKind.ONNX: ScriptedRuntime()},
            clock=found.clock,
            retain_seconds=60,
            hashed=found.hashed,
        )
        self.events: list[tuple[str, int]] = []
        self.watch = Watch(self.fleet, shelf, shelf, poll_seconds=0.005, report=self._report)

    def _report(self, name: str, revision: int, refusal: Refusal | None) -> None:
        self.events.append((name, revision))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Watched]:
        self.watch.start()
        try:
            yield self
        finally:
            await self.watch.stop()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.002)


async def test_the_newest_plan_comes_into_force_and_is_kept() -> None:
    shelf = Shelf(plan(1, endpoint(V1)))
    async with Watched(shelf).running() as seen:
        await seen.until(lambda: seen.fleet.table.revision == 1)
        shelf.newest = plan(2, endpoint(V2))
        await seen.until(lambda: seen.events[-1:] == [("plan.live", 2)])
        assert shelf.kept == shelf.newest


async def test_a_plane_without_any_plan_waits_for_one() -> None:
    shelf = Shelf()
    async with Watched(shelf).running() as seen:
        await asyncio.sleep(0.02)
        assert not seen.fleet.table.realised
        shelf.newest = plan(1)
        await seen.until(lambda: seen.fleet.table.realised)


async def test_without_a_database_the_last_known_good_serves() -> None:
    shelf = Shelf(kept=plan(7, endpoint(V1)))
    shelf.gone = True
    async with Watched(shelf).running() as seen:
        await seen.until(lambda: seen.fleet.table.revision == 7)
        assert "does not answer" in seen.watch.blind
        shelf.newest, shelf.gone = plan(8, endpoint(V2)), False
        await seen.until(lambda: seen.fleet.table.revision == 8)
        assert seen.watch.blind == ""


async def test_when_the_database_goes_away_it_serves_on() -> None:
    shelf = Shelf(plan(1, endpoint(V1)))
    async with Watched(shelf).running() as seen:
        await seen.until(lambda: seen.fleet.table.revision == 1)
        shelf.gone = True
        await seen.until(lambda: bool(seen.watch.blind))
        assert seen.fleet.table.lanes["toy"].live


async def test_a_refused_plan_is_told_once_and_tried_again_until_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "FIRST_PAUSE", 0.01)
    shelf = Shelf(plan(1, endpoint(V1)))
    async with Watched(shelf, 2).running() as seen:
        await seen.until(lambda: seen.fleet.table.revision == 1)
        shelf.newest = plan(2, endpoint(V2))
        await seen.until(lambda: ("plan.refused", 2) in seen.events)
        assert (seen.fleet.table.revision, shelf.kept.revision if shelf.kept else 0) == (1, 1)
        await asyncio.sleep(0.05)
        seen.verifier.damaged.clear()
        await seen.until(lambda: seen.events[-1] == ("plan.live", 2))
        assert seen.events == [("plan.live", 1), ("plan.refused", 2), ("plan.live", 2)]
        assert seen.fleet.table.revision == 2


async def test_a_plane_that_starts_on_a_broken_plan_takes_the_last_good_one() -> None:
    shelf = Shelf(plan(2, endpoint(V1, V2)), kept=plan(1, endpoint(V1)))
    async with Watched(shelf, 2).running() as seen:
        await seen.until(lambda: seen.fleet.table.revision == 1)
        assert seen.fleet.refusal is not None
        assert seen.fleet.refusal.revision == 2


async def test_with_no_good_plan_what_loads_is_served() -> None:
    shelf = Shelf(plan(2, endpoint(V1, V2)))
    async with Watched(shelf, 2).running() as seen:
        await seen.until(lambda: seen.fleet.table.realised)
        assert seen.fleet.table.lanes["toy"].live
        assert shelf.kept is None


async def test_a_bug_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(plan(1, endpoint(V1)))
    shelf.error = ZeroDivisionError("a bug")
    async with Watched(shelf).running() as seen:
        await seen.until(lambda: seen.fleet.table.revision == 1)
    assert "watch failed" in caplog.text


async def test_a_load_under_way_does_not_hold_up_the_end() -> None:
    shelf = Shelf(plan(1, endpoint(V1)))
    seen = Watched(shelf)
    runtime = seen.fleet._runtimes[RuntimeKind.ONNX]
    assert isinstance(runtime, ScriptedRuntime)
    runtime.hold = asyncio.Event()
    async with asyncio.timeout(5):
        async with seen.running():
            await seen.until(lambda: runtime.loads == [1])
