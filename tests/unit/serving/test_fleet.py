"""Plans become tables: nothing waits for a load, a plan that cannot be realised changes nothing, nothing is unloaded
under a running call."""

from __future__ import annotations

import asyncio
from asyncio import Future
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from plane_samples import (
    Behaviour,
    ScriptedRuntime,
    Trusting,
    endpoint,
    labels,
    package,
    plan,
    recorder,
)

from headrace.base.clock import ManualClock
from headrace.serving.fleet import Fleet
from headrace.serving.lifecycle import MOVES, State
from headrace.serving.predict import Predictor
from headrace.serving.reserve import Reservations
from headrace.serving.run import Place
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.traffic.admit import Gate
from headrace.types.endpoint import Batching, Cache, Endpoint
from headrace.types.errors import HeadraceError, ModelFailed, ModelRefused, TimedOut
from headrace.types.model import ModelVersion, RuntimeKind
from headrace.types.traffic import TrafficPolicy

V1, V2, V3 = package(1), package(2), package(3)


class Yard:
    def __init__(self, behaviours: dict[int, Behaviour | ModelRefused] | None = None, *damaged: int) -> None:
        self.clock = ManualClock()
        self.runtime = ScriptedRuntime(behaviours)
        self.verifier = Trusting(*damaged)
        found = recorder(clock=self.clock)
        self.fleet = Fleet(
            Predictor(found),
            artifacts=self.verifier,
            runtimes={RuntimeKind.ONNX: self.runtime},
            clock=self.clock,
            retain_seconds=60,
            hashed=found.hashed,
        )

    def states(self) -> dict[int, State]:
        return {loaded.package.version: loaded.state for loaded in self.fleet.loaded()}


def canary(share: int = 100) -> Endpoint:
    return endpoint(V1, V2, policy=TrafficPolicy(baseline="v1", candidate="v2", share=share, salt="s"))


def test_every_state_says_what_it_means_and_can_be_reached() -> None:
    assert set(MOVES) == set(State)
    reached = {target for targets in MOVES.values() for target in targets}
    assert reached | {State.VERIFYING} == set(State)
    path = ["verifying", "reserving", "loading", "warming", "ready", "live", "draining", "retained", "unloaded"]
    assert all(State(b) in MOVES[State(a)] for a, b in pairwise(path))


async def test_a_version_lives_from_verifying_to_unloaded() -> None:
    yard = Yard()
    await yard.fleet.apply(plan(1, endpoint(V1)))
    assert yard.states() == {1: State.LIVE}
    await yard.fleet.apply(plan(2, endpoint(V2)))
    assert yard.states() == {1: State.RETAINED, 2: State.LIVE}
    yard.clock.move(59)
    await yard.fleet.unload()
    assert yard.states() == {1: State.RETAINED, 2: State.LIVE}
    yard.clock.move(1)
    await yard.fleet.unload()
    assert yard.states() == {2: State.LIVE}
    assert yard.runtime.models[1].closed


async def test_a_roll_back_takes_the_version_that_is_still_warm() -> None:
    yard = Yard()
    for revision, version in enumerate((V1, V2, V1), start=1):
        await yard.fleet.apply(plan(revision, endpoint(version)))
    assert yard.runtime.loads == [1, 2]
    assert yard.states() == {1: State.LIVE, 2: State.RETAINED}


@pytest.mark.parametrize("fault", [ModelFailed("its process died"), TimedOut("it hangs")])
async def test_a_version_that_died_while_it_was_retained_is_loaded_anew(fault: HeadraceError) -> None:
    yard = Yard()
    for revision, version in enumerate((V1, V2), start=1):
        await yard.fleet.apply(plan(revision, endpoint(version)))
    died = yard.runtime.models[1]

    def dead(inputs: Inputs) -> Outputs:
        raise fault

    died.behave = dead
    assert await yard.fleet.apply(plan(3, endpoint(V1))) is None
    assert died.closed
    assert yard.runtime.loads == [1, 2, 1]
    assert yard.states() == {1: State.LIVE, 2: State.RETAINED}
    yard.runtime.models[2].behave = dead
    yard.runtime.behaviours[2] = ModelRefused("its files are gone")
    refusal = await yard.fleet.apply(plan(4, endpoint(V2)))
    assert refusal is not None
    assert "its files are gone" in refusal.reason
    assert yard.states()[1] is State.LIVE


async def test_a_version_drains_until_its_last_call_ends() -> None:
    yard = Yard()
    await yard.fleet.apply(plan(1, endpoint(V1)))
    old = yard.fleet.table.lanes["toy"].loaded["v1"]
    with Place(Gate("toy", 1)) as place:
        place.hold(old)
        await yard.fleet.apply(plan(2, endpoint(V2)))
        yard.clock.move(3_600)
        await yard.fleet.unload()
        assert yard.states()[1] is State.DRAINING
        assert not yard.runtime.models[1].closed
    await yard.fleet.unload()
    assert yard.states()[1] is State.RETAINED


async def test_the_old_plan_serves_while_the_new_one_loads() -> None:
    yard = Yard()
    await yard.fleet.apply(plan(1, endpoint(V1)))
    yard.runtime.hold = asyncio.Event()
    change = asyncio.create_task(yard.fleet.apply(plan(2, endpoint(V2))))
    while yard.states().get(2) is not State.LOADING:
        await asyncio.sleep(0)
    assert yard.fleet.table.revision == 1
    assert yard.fleet.table.lanes["toy"].variant("v1").state is State.LIVE
    yard.runtime.hold.set()
    await change
    assert yard.fleet.table.revision == 2


@pytest.mark.parametrize(
    ("behaviours", "damaged", "reason"),
    [
        ({}, (2,), "another sha256"),
        ({2: ModelRefused("unknown operator")}, (), "unknown operator"),
    ],
)
async def test_a_plan_that_cannot_be_realised_changes_nothing(
    behaviours: dict[int, Behaviour | ModelRefused], damaged: tuple[int, ...], reason: str
) -> None:
    yard = Yard(behaviours, *damaged)
    await yard.fleet.apply(plan(1, endpoint(V1)))
    before = yard.fleet.table
    refusal = await yard.fleet.apply(plan(2, canary(), endpoint(V3, name="other")))
    assert refusal is not None
    assert (refusal.revision, refusal.endpoint, refusal.variant) == (2, "toy", "v2")
    assert reason in refusal.sentence()
    assert yard.fleet.table is before
    assert yard.fleet.refusal == refusal
    assert yard.states() == {1: State.LIVE, 2: State.REFUSED, 3: State.RETAINED}


@pytest.mark.parametrize("error", [OSError("disk on fire"), ZeroDivisionError()])
async def test_whatever_goes_wrong_nothing_half_loaded_gets_traffic(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard = Yard()
    await yard.fleet.apply(plan(1, endpoint(V1)))

    def broken(package: object) -> Path:
        raise error

    monkeypatch.setattr(yard.verifier, "verify", broken)
    with suppress(ZeroDivisionError):
        refusal = await yard.fleet.apply(plan(2, endpoint(V2)))
        assert refusal is not None
        assert "disk on fire" in refusal.reason
    assert yard.fleet.table.revision == 1
    monkeypatch.undo()
    await yard.fleet.apply(plan(2, endpoint(V2)))
    assert yard.states()[2] is State.LIVE


async def test_a_later_plan_clears_the_refusal_and_tries_again() -> None:
    yard = Yard({}, 2)
    await yard.fleet.apply(plan(1, endpoint(V1)))
    await yard.fleet.apply(plan(2, canary()))
    yard.verifier.damaged.clear()
    assert await yard.fleet.apply(plan(3, canary())) is None
    assert yard.fleet.refusal is None
    assert yard.states() == {1: State.LIVE, 2: State.LIVE}


async def test_an_older_plan_does_not_hide_a_refusal() -> None:
    yard = Yard({}, 2)
    await yard.fleet.apply(plan(5, canary()))
    assert await yard.fleet.apply(plan(4, endpoint(V1))) is None
    assert yard.fleet.refusal is not None
    assert yard.fleet.refusal.revision == 5


async def test_a_plane_without_an_old_plan_serves_what_it_can() -> None:
    yard = Yard({}, 2)
    refusal = await yard.fleet.apply(plan(1, canary(10_000), endpoint(V2, name="other")), partly=True)
    assert refusal is not None
    toy, other = yard.fleet.table.lanes["toy"], yard.fleet.table.lanes["other"]
    assert (toy.live, toy.policy.candidate, toy.policy.share) == (True, "", 0)
    assert not other.live
    assert yard.fleet.table.revision == 0  # nobody may take it for the plan


async def test_two_endpoints_share_one_loaded_package() -> None:
    yard = Yard()
    await yard.fleet.apply(plan(1, endpoint(V1), endpoint(V1, name="other")))
    assert yard.runtime.loads == [1]
    await yard.fleet.apply(plan(2, endpoint(V1, name="other")))
    assert yard.states() == {1: State.LIVE}


async def test_a_package_of_another_version_is_refused() -> None:
    yard = Yard()
    wrong = endpoint(V1)
    other = ModelVersion(name="toy", version=9, uri="models:/toy/9")
    object.__setattr__(wrong.variants[0], "model", other)
    refusal = await yard.fleet.apply(plan(1, wrong))
    assert refusal is not None
    assert "is toy/9, its package was made from toy/1" in refusal.reason


async def test_a_runtime_that_is_not_there_is_refused() -> None:
    yard = Yard()
    refusal = await yard.fleet.apply(plan(1, endpoint(package(1, runtime=RuntimeKind.PYFUNC))))
    assert refusal is not None
    assert "no runtime 'pyfunc' on this plane; there are: onnx" in refusal.reason


async def test_waiting_for_a_revision() -> None:
    yard = Yard({}, 2)
    waiting = asyncio.create_task(yard.fleet.until(1, 10))
    await asyncio.sleep(0)
    await yard.fleet.apply(plan(1, endpoint(V1)))
    assert await waiting
    assert await yard.fleet.until(1, 0)
    waiting = asyncio.create_task(yard.fleet.until(2, 10))
    await asyncio.sleep(0)
    await yard.fleet.apply(plan(2, endpoint(V2)))
    assert not await waiting
    assert not await yard.fleet.until(3, 0)


async def test_closing_closes_models_and_runtimes() -> None:
    yard = Yard()
    await yard.fleet.apply(plan(1, endpoint(V1)))
    await yard.fleet.close()
    assert yard.runtime.models[1].closed
    assert yard.runtime.closed


async def test_a_gate_counts_over_plans() -> None:
    yard = Yard()
    await yard.fleet.apply(plan(1, endpoint(V1)))
    gate = yard.fleet.table.lanes["toy"].gate
    gate.enter()
    await yard.fleet.apply(plan(2, endpoint(V2)))
    assert yard.fleet.table.lanes["toy"].gate.inside == 1


async def test_swaps_under_load_lose_no_call() -> None:
    """Calls that hand over to a future straddle many flips; each ends on the version that it began on."""
    yard = Yard()

    def later(inputs: Inputs) -> Future[Outputs]:
        loop = asyncio.get_running_loop()
        work: Future[Outputs] = loop.create_future()
        loop.call_later(0.001, work.set_result, labels(inputs))
        return work

    yard.runtime.behaviours = {1: later, 2: later}
    await yard.fleet.apply(plan(1, endpoint(V1)))
    done: list[int] = []

    async def call() -> None:
        lane = yard.fleet.table.lanes["toy"]
        (name,) = lane.loaded
        with Place(lane.gate) as place:
            work = place.hold(lane.loaded[name]).batcher.run(Inputs(1, {}))
            assert isinstance(work, Future)
            await work
            assert lane.loaded[name].state in (State.LIVE, State.DRAINING)
            done.append(lane.loaded[name].package.version)

    calls = []
    for revision in range(2, 42):
        calls += [asyncio.create_task(call()) for _ in range(10)]
        await asyncio.sleep(0.001)
        await yard.fleet.apply(plan(revision, endpoint((V1, V2)[revision % 2])))
    await asyncio.gather(*calls)
    assert len(done) == 400
    assert set(done) == {1, 2}
    assert all(loaded.refs == 0 for loaded in yard.fleet.loaded())


async def test_what_does_not_fit_into_memory_is_refused_and_the_old_one_serves() -> None:
    yard = Yard()
    await yard.fleet.apply(plan(1, endpoint(V1)))
    yard.fleet.reservations = Reservations(lambda: 1)
    refusal = await yard.fleet.apply(plan(2, endpoint(V2)))
    assert refusal is not None
    assert "toy/2 needs about" in refusal.reason
    assert yard.runtime.loads == [1]
    assert yard.fleet.table.revision == 1


async def test_how_an_endpoint_runs_changes_without_a_load() -> None:
    yard = Yard()
    await yard.fleet.apply(plan(1, endpoint(V1, cache=Cache(size_mb=1))))
    lane = yard.fleet.table.lanes["toy"]
    assert lane.cache is not None
    await yard.fleet.apply(plan(2, endpoint(V1, batching=Batching(instances=3), cache=Cache(size_mb=2))))
    after = yard.fleet.table.lanes["toy"]
    assert after.cache is lane.cache
    assert lane.cache.settings.size_mb == 2
    for _ in range(3):
        await asyncio.sleep(0)
    assert (yard.runtime.loads, yard.runtime.models[1].scaled) == ([1], 3)
    await yard.fleet.apply(plan(3, endpoint(V1)))
    assert yard.fleet.table.lanes["toy"].cache is None
