"""Shadows: what they are given, what they leave behind, and that no live answer waits for one."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plane_samples import (
    NUMBERS_TABLE,
    Behaviour,
    MemoryJournal,
    ScriptedRuntime,
    Trusting,
    endpoint,
    labels,
    package,
    plan,
    recorder,
    spec,
)
from virtual_loop import VirtualLoop

from headrace.base.clock import ManualClock
from headrace.serving import shadow as module
from headrace.serving.fleet import Fleet
from headrace.serving.idle import REST, SHARE, Idle
from headrace.serving.plain import PlainDialect
from headrace.serving.predict import Predictor, Request
from headrace.serving.runtimes.base import Form, Inputs, Outputs
from headrace.serving.turn import Turn
from headrace.types.call import Call, CallStatus
from headrace.types.endpoint import Capture, Endpoint, Limits
from headrace.types.errors import HeadraceError, ModelFailed, TimedOut
from headrace.types.model import Datatype, Package, RuntimeKind, Signature
from headrace.types.traffic import BUCKETS, Shadow, TrafficPolicy

ROWS = b"[[1,2,3]]"


def ones(inputs: Inputs) -> Outputs:
    return [np.ones(inputs.rows, dtype=np.int64), np.full((inputs.rows, 2), 0.5, dtype=np.float32)]


def shadowed_endpoint(*packages: Package, shadow: Shadow | None = None, **more: Any) -> Endpoint:
    policy = TrafficPolicy(baseline="v1", salt="salt", shadow=shadow or Shadow(variant="v2"))
    return endpoint(*(packages or (package(1), package(2))), policy=policy, **more)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


class Plane:
    """A spine with scripted models: version 1 is live, version 2 its shadow."""

    def __init__(self, live: Behaviour = labels, shadow: Behaviour = ones, *, quick: bool = True) -> None:
        self.journal, self.clock = MemoryJournal(), ManualClock()
        self.recorder = recorder(self.journal, self.clock)
        self.predictor = Predictor(self.recorder)
        self.runtime = ScriptedRuntime({1: live, 2: shadow})
        self.quick = quick
        runtimes = dict.fromkeys((RuntimeKind.ONNX, RuntimeKind.LEGACY, RuntimeKind.REMOTE), self.runtime)
        self.fleet = Fleet(
            self.predictor,
            artifacts=Trusting(),
            runtimes=runtimes,
            clock=self.clock,
            retain_seconds=60,
            hashed=self.recorder.hashed,
        )

    async def serve(self, served: Endpoint | None = None, *, revision: int = 3) -> Plane:
        assert await self.fleet.apply(plan(revision, served or shadowed_endpoint())) is None
        for model in self.runtime.models.values():
            model.fast = self.quick
        return self

    async def ask(self, inputs: bytes = ROWS, *, headers: Mapping[str, str] | None = None, **more: Any) -> bytes:
        self.fleet.turn.count += 1  # as the server does for what it has just read
        request = Request(
            model="toy", wanted=more.pop("wanted", None), user=more.pop("user", ""), header=(headers or {}).get
        )
        return (await self.predictor.predict(request, PlainDialect(msgspec.Raw(inputs)))).body

    async def settled(self) -> list[Call]:
        """The lines of shadows, once nothing more comes of itself."""
        for _ in range(20):
            await asyncio.sleep(0)
        await until(self.quiet)
        return self.shadows()

    def quiet(self) -> bool:
        """Nothing is begun and nothing can begin."""
        shadows = self.fleet.shadows
        return not shadows.idle._looking and not any(
            s._ended or (s._queue and s.running < s.settings.max_concurrency and s._free(s._queue[0].inputs))
            for s in shadows._here.values()
        )

    def shadows(self) -> list[Call]:
        return [call for call in self.journal.calls() if call.shadow_of]

    def counts(self) -> dict[str, int]:
        return {outcome: count for (_, _, outcome), count in self.fleet.shadows.outcomes.counts.items()}


async def test_a_call_is_answered_and_then_put_to_its_shadow() -> None:
    plane = await Plane().serve()
    assert await plane.ask(user="ann") == b"[0]"
    assert plane.shadows() == [], "not before the caller has been answered"
    (line,) = await plane.settled()
    live = plane.journal.calls()[0]
    assert (line.shadow_of, line.endpoint, line.variant, line.version) == (live.trace_id, "toy", "v2", 2)
    assert (line.status, line.output, line.input) == (CallStatus.OK, [1], None)
    assert (line.counted, line.sticky, line.unit, line.revision) == (False, True, live.unit, 3)
    assert line.trace_id != live.trace_id
    assert line.beside == {"outputs": {"scores": [[[0, 0]], [[0.5, 0.5]]]}}
    assert plane.counts() == {"ok": 1}


async def test_it_is_in_no_figure_of_live_calls() -> None:
    plane = await Plane().serve()
    await plane.ask()
    await plane.settled()
    assert list(plane.recorder.meter.lanes) == [("toy", "v1")]
    (shadow,) = [one for one in plane.fleet.loaded() if one.package.version == 2]
    assert (shadow.statistics.success.count, shadow.statistics.execution_count, shadow.refs) == (0, 0, 0)
    told = [r for r in plane.recorder.meter.figures().readings if r[0].startswith("headrace_shadow")]
    assert told == [
        ("headrace_shadow_total", {"endpoint": "toy", "variant": "v2", "outcome": "ok"}, 1),
        ("headrace_shadow_queued", {"endpoint": "toy"}, 0),
    ]


async def test_headers_that_are_asked_for_are_kept() -> None:
    plane = await Plane().serve(shadowed_endpoint(shadow=Shadow(variant="v2", attributes=("x-tenant", "x-absent"))))
    await plane.ask(headers={"x-tenant": "a" * 300, "x-other": "b"})
    (line,) = await plane.settled()
    assert line.beside["attributes"] == {"x-tenant": "a" * 200}


async def test_where_nothing_is_captured_no_answer_is_kept() -> None:
    plane = await Plane().serve(shadowed_endpoint(capture=Capture.NONE))
    await plane.ask()
    (line,) = await plane.settled()
    assert (line.status, line.output, line.beside) == (CallStatus.OK, None, None)


@pytest.mark.parametrize("asked", [{"headers": {"x-headrace-variant": "v1"}}, {"wanted": "1"}, {"wanted": "2"}])
async def test_a_caller_who_chose_is_left_alone(asked: dict[str, Any]) -> None:
    plane = await Plane().serve()
    await plane.ask(**asked)
    assert await plane.settled() == []


async def test_a_refused_call_has_no_shadow() -> None:
    plane = await Plane().serve()
    with pytest.raises(HeadraceError):
        await plane.ask(b"[[1,2]]")
    assert await plane.settled() == []


async def test_a_share_of_calls() -> None:
    plane = await Plane().serve(shadowed_endpoint(shadow=Shadow(variant="v2", share=BUCKETS // 4, salt="rel")))
    for _ in range(200):
        await plane.ask()
        await asyncio.sleep(0)
    lines = await plane.settled()
    assert 20 < len(lines) < 90
    assert plane.counts() == {"ok": len(lines)}


@pytest.mark.parametrize(
    "unsafe",
    [
        shadowed_endpoint(effects=True),
        shadowed_endpoint(package(1), package(2, runtime=RuntimeKind.LEGACY)),
        shadowed_endpoint(package(1), package(2, runtime=RuntimeKind.REMOTE)),
        shadowed_endpoint(shadow=Shadow(variant="v1")),
        shadowed_endpoint(shadow=Shadow(variant="v9")),
    ],
)
async def test_nothing_that_may_have_effects_is_asked_for_nobody(unsafe: Endpoint) -> None:
    plane = await Plane().serve(unsafe)
    assert plane.predictor.table.lanes["toy"].shadow is None
    await plane.ask()
    assert await plane.settled() == []


async def test_a_service_that_is_said_to_have_none_is_asked() -> None:
    served = shadowed_endpoint(package(1), package(2, runtime=RuntimeKind.LEGACY))
    safe = replace(served, variants=tuple(replace(v, effects=False) for v in served.variants))
    plane = await Plane().serve(safe)
    await plane.ask()
    assert len(await plane.settled()) == 1


def failing(inputs: Inputs) -> Outputs:
    raise ModelFailed("it broke")


def wrong(inputs: Inputs) -> Outputs:
    return [np.ones(inputs.rows + 1, dtype=np.int64), np.zeros((inputs.rows, 2), dtype=np.float32)]


def bug(inputs: Inputs) -> Outputs:
    raise ZeroDivisionError("of ours")


def late(inputs: Inputs) -> Outputs:
    raise TimedOut("too late")


@pytest.mark.parametrize(
    ("behave", "status", "told"),
    [
        (failing, CallStatus.FAILED, "it broke"),
        (wrong, CallStatus.FAILED, "output 'label' has shape [2] for 1 rows"),
        (bug, CallStatus.FAILED, "interrupted: ZeroDivisionError: of ours"),
        (late, CallStatus.TIMEOUT, "too late"),
    ],
)
async def test_what_goes_wrong_is_written_down_and_hurts_nobody(
    behave: Behaviour, status: CallStatus, told: str
) -> None:
    plane = await Plane().serve()
    plane.runtime.models[2].behave = behave
    assert await plane.ask() == b"[0]"
    assert await plane.ask() == b"[0]"
    lines = await plane.settled()
    assert [(line.status, line.error) for line in lines] == [(status, told)] * 2
    assert plane.counts() == {status.value: 2}


async def test_a_model_that_wants_another_form_reads_the_request_again() -> None:
    form = Form(matrix=np.dtype(np.float32))
    plane = Plane()
    table = (package(1, signature=NUMBERS_TABLE), package(2, signature=NUMBERS_TABLE))
    load = plane.runtime.load

    async def of_another_form(folder: Any, made: Package) -> Any:
        model = await load(folder, made)
        if made.version == 2:
            model.form = form
        return model

    plane.runtime.load = of_another_form  # type: ignore[method-assign]
    await plane.serve(shadowed_endpoint(*table))
    await plane.ask(b'[{"a":1,"b":2,"c":0.1}]')
    assert [line.status for line in await plane.settled()] == [CallStatus.OK]
    (ran,) = plane.runtime.models[2].ran
    assert ran.matrix is not None
    assert ran.matrix.dtype == np.float32
    assert plane.runtime.models[1].ran[0].arrays["c"].dtype == np.float64


async def test_inputs_that_the_candidate_does_not_take_are_its_own_affair() -> None:
    wider = Signature(inputs=(spec("input", Datatype.FP64, (-1, 4)),), outputs=package(1).signature.outputs)
    plane = await Plane().serve(shadowed_endpoint(package(1), package(2, signature=wider)))
    assert await plane.ask() == b"[0]"
    (line,) = await plane.settled()
    assert line.status is CallStatus.REJECTED
    assert "inputs" in line.error


async def test_a_queue_that_is_full_drops_and_counts() -> None:
    plane = await Plane().serve(shadowed_endpoint(shadow=Shadow(variant="v2", max_queue=3)))
    for _ in range(5):
        await plane.ask()  # without a turn of the loop in between
    assert plane.counts() == {"dropped": 2}
    assert plane.fleet.shadows.outcomes.dropped() == {("toy", "v2"): 2}
    assert plane.fleet.shadows.outcomes.dropped() == {}, "what was told once is not told again"
    assert len(await plane.settled()) == 3


async def test_large_calls_are_bounded_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_BYTES", 100)
    plane = await Plane().serve()
    await plane.ask()
    await plane.ask()
    assert plane.counts() == {"dropped": 1}
    assert len(await plane.settled()) == 1
    await plane.ask()
    assert len(await plane.settled()) == 2, "there is room again"


async def test_slow_shadows_run_beside_each_other_up_to_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    work: list[Future[Outputs]] = []

    def slow(inputs: Inputs) -> Future[Outputs]:
        work.append(asyncio.get_running_loop().create_future())
        return work[-1]

    plane = await Plane().serve(shadowed_endpoint(shadow=Shadow(variant="v2", max_concurrency=2)))
    plane.fleet.shadows._cores = 4
    model = plane.runtime.models[2]
    model.behave, model.fast, model.instances = slow, False, 3
    for _ in range(4):
        await plane.ask()
    assert await plane.settled() == []
    assert len(work) == 2
    work[0].set_result(ones(model.ran[0]))
    work[1].set_exception(ModelFailed("it broke"))
    assert sorted(line.status for line in await plane.settled()) == [CallStatus.FAILED, CallStatus.OK]
    assert len(work) == 4
    work[2].cancel()
    assert [line.error for line in await plane.settled()][2:] == ["interrupted: CancelledError: "]
    assert plane.predictor.table.lanes["toy"].gate.inside == 0


async def test_without_a_free_core_it_waits() -> None:
    plane = await Plane().serve()
    model, live = plane.runtime.models[2], plane.predictor.table.lanes["toy"].gate
    model.fast = False
    live.inside = plane.fleet.shadows._cores = 2
    await plane.ask()
    assert await plane.settled() == []
    live.inside = 0
    assert len(await plane.settled()) == 1


async def test_a_new_plan_ends_it_or_lets_it_go_on() -> None:
    plane = await Plane().serve()
    first = plane.predictor.table.lanes["toy"].shadow
    await plane.serve(revision=4)
    assert plane.predictor.table.lanes["toy"].shadow is first, "nothing has changed for it"
    await plane.ask()
    await plane.serve(endpoint(package(1), package(2)), revision=5)
    assert plane.predictor.table.lanes["toy"].shadow is None
    await plane.settled()
    assert sum(plane.counts().values()) == 1, "what waited then was dropped, or had run before"
    await plane.serve(shadowed_endpoint(shadow=Shadow(variant="v2", max_queue=9)), revision=6)
    other = plane.predictor.table.lanes["toy"].shadow
    assert other not in (None, first)
    cast(Any, first).offer(*[cast(Any, plane.journal.calls()[0])] * 3, source=None, header=None)
    await plane.fleet.apply(plan(7))
    assert plane.fleet.shadows._here == {}


# --- never in the way


class Recording:
    """A worker that notes in which turn of the loop it was given a slice."""

    def __init__(self, slices: int) -> None:
        self.left = slices

    def step(self) -> float | None:
        self.left -= 1
        return 0.0 if self.left else None


async def test_a_busy_loop_gives_no_slice() -> None:
    turn = Turn()
    idle, worker = Idle(turn), Recording(3)
    idle.wants(worker)
    for _ in range(50):
        turn.count += 1
        await asyncio.sleep(0)
    assert worker.left == 3
    await until(lambda: worker.left == 0)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.02, 3.0), st.integers(1, 40))
def test_slices_take_a_share_of_the_time_at_most(slice_ms: float, count: int) -> None:
    loop = VirtualLoop()
    idle, began = Idle(Turn(), now=lambda: loop.now), loop.now

    class Busy(Recording):
        def step(self) -> float | None:
            loop.now += slice_ms * MS
            again = super().step()
            if not self.left:
                ended.set()
            return again

    ended = asyncio.Event()

    async def main() -> None:
        idle.wants(Busy(count))
        await ended.wait()

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    last = slice_ms * MS  # after which nothing has rested yet, and a timer's worth may be owed
    assert (count - 1) * last <= SHARE * (loop.now - began - last + REST) + 1e-9


Times = st.lists(st.integers(0, 40), min_size=1, max_size=12)
Kinds = st.lists(st.sampled_from(["ok", "fails", "hangs", "raises", "later"]), min_size=1, max_size=4)
MS = 0.001


def run_virtually(
    arrivals: list[int], live_ms: int, make: Callable[[VirtualLoop], Behaviour] | None, *, quick: bool
) -> list[float]:
    """When each live call was answered, in virtual time; `make` gives the shadow's behaviour, None: no shadow."""
    loop = VirtualLoop()

    def live(inputs: Inputs) -> Outputs | Future[Outputs]:
        if not live_ms:
            return labels(inputs)
        future: Future[Outputs] = loop.create_future()
        loop.call_later(live_ms * MS, future.set_result, labels(inputs))
        return future

    async def main() -> list[float]:
        plane = Plane(live, quick=live_ms == 0)
        served = shadowed_endpoint(
            shadow=Shadow(variant="v2", max_concurrency=2, max_queue=4), limits=Limits(timeout_ms=60_000)
        )
        await plane.serve(served if make else endpoint(package(1), package(2)))
        plane.runtime.models[1].instances = 99
        if make:
            model = plane.runtime.models[2]
            model.behave, model.fast, model.instances = make(loop), quick, 2
        plane.fleet.shadows._cores = 99
        start, answered = loop.now, [0.0] * len(arrivals)

        async def one(number: int, at: int) -> None:
            await asyncio.sleep(at * MS)
            await plane.ask()
            answered[number] = loop.now - start

        await asyncio.gather(*(one(number, at) for number, at in enumerate(arrivals)))
        return answered

    try:
        return loop.run_until_complete(main())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@settings(max_examples=40, deadline=None)
@given(Times, st.sampled_from([0, 3]), Kinds)
def test_no_live_answer_waits_for_a_shadow_that_runs_elsewhere(
    arrivals: list[int], live_ms: int, kinds: list[str]
) -> None:
    """In a thread, a process or on another machine, whatever it does there: to the microsecond the same times."""

    def make(loop: VirtualLoop) -> Behaviour:
        runs = iter(kinds * 100)

        def behave(inputs: Inputs) -> Outputs | Future[Outputs]:
            kind, future = next(runs), loop.create_future()
            if kind == "raises":
                raise ModelFailed("it broke")
            if kind == "ok":
                future.set_result(ones(inputs))
            elif kind == "fails":
                future.set_exception(ModelFailed("it broke"))
            elif kind == "later":
                loop.call_later(0.5, future.set_result, ones(inputs))
            return future

        return behave

    alone = run_virtually(arrivals, live_ms, None, quick=False)
    beside = run_virtually(arrivals, live_ms, make, quick=False)
    assert beside == pytest.approx(alone, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(Times, st.sampled_from([0, 3]), st.floats(0.1, 2.0))
def test_a_live_answer_waits_for_the_rest_of_one_slice_at_most(
    arrivals: list[int], live_ms: int, slice_ms: float
) -> None:
    """A small model runs on the event loop. Whoever comes in the middle of a slice waits for its end and for no second
    one; a call that waits for its own model can be met twice: when it comes, and when its model has answered."""

    def make(loop: VirtualLoop) -> Behaviour:
        def behave(inputs: Inputs) -> Outputs:
            loop.now += slice_ms * MS
            return ones(inputs)

        return behave

    alone = run_virtually(arrivals, live_ms, None, quick=True)
    beside = run_virtually(arrivals, live_ms, make, quick=True)
    most = slice_ms * MS * (2 if live_ms else 1)
    assert all(with_shadow - without <= most + 1e-9 for with_shadow, without in zip(beside, alone, strict=True))
