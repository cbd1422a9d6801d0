"""Sentinels on a real spine with scripted models: what ejects the live version, what brings it back, what is nobody's
fault. The clock is moved by hand; ticks are called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from plane_samples import (
    MemoryJournal,
    ScriptedRuntime,
    Trusting,
    endpoint,
    labels,
    package,
    plan,
    recorder,
)

from headrace.base.clock import ManualClock
from headrace.serving.failover import SPARED_SECONDS, Mode, Sentinels
from headrace.serving.fleet import Fleet
from headrace.serving.plain import PlainDialect
from headrace.serving.predict import Predictor, Request
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.traffic.route import FORCED_HEADER, GATE_HEADER
from headrace.types.call import CallStatus
from headrace.types.endpoint import Cache, Endpoint
from headrace.types.errors import HeadraceError, ModelFailed, ModelRefused
from headrace.types.failover import Failover
from headrace.types.model import RuntimeKind
from headrace.types.traffic import Reason, TrafficPolicy

LIVE = TrafficPolicy(baseline="v2", fallback="v1", salt="s")
GOOD, POISON = b"[[1,2,3]]", b"[[9,9,9]]"


class Plane:
    """v2 is live, v1 was before. `bad`: versions that fail, on inputs for which the condition holds."""

    def __init__(self, *, damaged: tuple[int, ...] = ()) -> None:
        self.bad: dict[int, Callable[[Inputs], bool]] = {}
        self.clock, self.journal = ManualClock(), MemoryJournal()
        self.recorder = recorder(self.journal, self.clock)
        self.predictor = Predictor(self.recorder)
        self.told: list[tuple[str, str, str]] = []
        self.sentinels = Sentinels(self.predictor, self.recorder.meter, self.clock, self._told)
        refused: dict[int, Any] = {n: ModelRefused("the file is damaged") for n in damaged}
        self.runtime = ScriptedRuntime({n: self._behave(n) for n in (1, 2, 3)} | refused)
        self.fleet = Fleet(
            self.predictor,
            artifacts=Trusting(),
            runtimes={RuntimeKind.ONNX: self.runtime, RuntimeKind.REMOTE: self.runtime},
            clock=self.clock,
            retain_seconds=60,
            hashed=self.recorder.hashed,
        )
        self.fleet.guard = self.sentinels.guard

    def _told(self, name: str, *, endpoint: str, variant: str, detail: str) -> None:
        assert endpoint in ("toy", "other")
        self.told.append((name, variant, detail))

    def _behave(self, number: int) -> Callable[[Inputs], Outputs]:
        def behave(inputs: Inputs) -> Outputs:
            if number in self.bad and self.bad[number](inputs):
                raise ModelFailed(f"version {number} is broken")
            return labels(inputs)

        return behave

    async def serve(self, *endpoints: Endpoint, revision: int = 1) -> Plane:
        refusal = await self.fleet.apply(plan(revision, *endpoints), partly=revision == 0)
        assert refusal is None or revision == 0
        return self

    async def ask(self, inputs: bytes = GOOD, *, timeout_ms: int = 0, **headers: str) -> str:
        """The variant that answered; empty when it failed."""
        header = {name.replace("_", "-"): value for name, value in headers.items()}.get
        request = Request(model="toy", wanted=None, user="", header=header, timeout_ms=timeout_ms)
        try:
            answer = await self.predictor.predict(request, PlainDialect(msgspec.Raw(inputs)))
        except HeadraceError:
            return ""
        return answer.call.variant

    async def asks(self, count: int, inputs: bytes = GOOD) -> list[str]:
        return [await self.ask(inputs) for _ in range(count)]

    async def settle(self) -> None:
        while self.sentinels._work:
            await asyncio.gather(*self.sentinels._work)

    async def tick(self, seconds: float) -> None:
        self.clock.move(seconds)
        self.sentinels.tick(self.clock.steady())
        await self.settle()

    @property
    def mode(self) -> Mode:
        return self.sentinels._all["toy"].mode


def two(**changes: Any) -> Endpoint:
    return endpoint(package(2), package(1), policy=changes.pop("policy", LIVE), **changes)


def always(_: Inputs) -> bool:
    return True


def poisoned(inputs: Inputs) -> bool:
    return bool((inputs.arrays["input"] == 9.0).any())


async def test_five_failures_in_a_row_and_the_version_before_answers() -> None:
    plane = await Plane().serve(two())
    assert set(await plane.asks(30)) == {"v2"}
    plane.bad[2] = always
    assert await plane.asks(5) == [""] * 5
    await plane.settle()
    assert set(await plane.asks(20)) == {"v1"}
    ((name, variant, detail),) = plane.told
    assert (name, variant) == ("variant.ejected", "v2")
    assert "the last 5 calls failed" in detail
    assert detail.endswith("v1 answers")
    assert ("headrace_ejected", {"endpoint": "toy", "variant": "v2"}, 1) in plane.recorder.meter.figures().readings


async def test_four_are_not_five() -> None:
    plane = await Plane().serve(two())
    plane.bad[2] = poisoned
    await plane.tick(0.25)
    for _ in range(10):
        await plane.asks(4, POISON)
        await plane.asks(40)
    assert plane.mode is Mode.SERVING
    assert plane.told == []


async def test_inputs_that_the_fallback_fails_on_too_are_the_inputs_fault() -> None:
    plane = await Plane().serve(two())
    plane.bad = {1: poisoned, 2: poisoned}
    await plane.asks(5, POISON)
    await plane.settle()
    assert await plane.ask() == "v2"
    assert [name for name, _, _ in plane.told] == ["variant.spared"]
    await plane.asks(5, POISON)
    await plane.settle()
    assert len(plane.told) == 1, "it is not doubted again at once"
    plane.clock.move(SPARED_SECONDS)
    await plane.asks(5, POISON)
    await plane.settle()
    assert len(plane.told) == 2


async def test_nothing_to_fall_back_to_or_not_wanted() -> None:
    for made in (
        endpoint(package(2), policy=TrafficPolicy(baseline="v2")),
        two(failover=Failover(enabled=False)),
        endpoint(package(2), policy=TrafficPolicy(baseline="v2", fallback="v7")),
    ):
        plane = await Plane().serve(made)
        plane.bad[2] = always
        assert await plane.asks(50) == [""] * 50
        assert plane.told == []


async def test_it_comes_back_when_it_answers_what_it_failed_on() -> None:
    plane = await Plane().serve(two())
    plane.bad[2] = always
    await plane.asks(5)
    await plane.settle()
    await plane.tick(4.9)
    assert plane.mode is Mode.EJECTED
    await plane.tick(0.2)
    assert plane.mode is Mode.EJECTED, "still broken; the next probe waits twice as long"
    plane.bad.clear()
    await plane.tick(9.9)
    assert await plane.ask() == "v1"
    await plane.tick(0.2)
    assert await plane.ask() == "v2"
    assert plane.told[-1][:2] == ("variant.restored", "v2")


async def test_one_that_only_just_came_back_goes_sooner() -> None:
    plane = await Plane().serve(two())
    plane.bad[2] = always
    await plane.asks(5)
    await plane.settle()
    plane.bad.clear()
    await plane.tick(5.1)
    assert plane.mode is Mode.SERVING
    plane.bad[2] = always
    await plane.asks(2)
    await plane.tick(0.3)
    assert await plane.ask() == "v1"


async def test_what_is_known_outlasts_plans_that_do_not_change_the_version() -> None:
    plane = await Plane().serve(two())
    plane.bad[2] = always
    await plane.asks(5)
    await plane.settle()
    await plane.serve(two(), endpoint(package(3, model="other"), name="other"), revision=2)
    assert await plane.ask() == "v1"
    await plane.serve(
        endpoint(package(3), package(1), policy=TrafficPolicy(baseline="v3", fallback="v1", salt="s")), revision=3
    )
    assert await plane.ask() == "v3"


async def test_the_owner_can_take_an_ejection_back() -> None:
    plane = await Plane().serve(two())
    plane.bad[2] = always
    await plane.asks(5)
    await plane.settle()
    plane.bad.clear()
    await plane.serve(two(failover=Failover(enabled=False)), revision=2)
    assert await plane.ask() == "v2"


async def test_what_breaks_everywhere_is_not_the_versions() -> None:
    policy = TrafficPolicy(baseline="v2", fallback="v1", salt="s")
    plane = await Plane().serve(two(), endpoint(package(2), package(1), name="other", policy=policy))
    plane.bad[2] = always
    for name in ("toy", "other"):
        for _ in range(6):
            with pytest.raises(ModelFailed):
                await plane.predictor.predict(
                    Request(model=name, wanted=None, user="", header=lambda _: None), PlainDialect(msgspec.Raw(GOOD))
                )
        await plane.settle()
    assert [variant for _, variant, _ in plane.told] == ["v2"], "one of two endpoints"


async def test_callers_that_would_not_wait_are_no_failures() -> None:
    plane = await Plane().serve(two())
    never: Callable[[Inputs], Any] = lambda inputs: asyncio.get_running_loop().create_future()  # noqa: E731
    plane.runtime.models[2].behave = never
    assert [await plane.ask(timeout_ms=1) for _ in range(8)] == [""] * 8
    await plane.settle()
    assert plane.told == []
    assert {call.status for call in plane.journal.calls()} == {CallStatus.TIMEOUT}


async def test_a_caller_s_mistakes_are_no_failures() -> None:
    plane = await Plane().serve(two())
    assert await plane.asks(20, b"[[1,2]]") == [""] * 20
    assert plane.told == []


async def test_calls_that_hang_are_seen_by_the_clock() -> None:
    plane = await Plane().serve(two())
    await plane.asks(30)
    plane.runtime.models[2].behave = lambda inputs: asyncio.get_running_loop().create_future()
    hanging = [asyncio.create_task(plane.ask()) for _ in range(3)]
    for _ in range(3):
        await asyncio.sleep(0)
    for _ in range(12):
        await plane.tick(0.25)
    assert plane.mode is Mode.SERVING
    await plane.tick(0.25)
    assert await plane.ask() == "v1"
    assert "3 calls inside and none answered for 3" in plane.told[0][2]
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_what_hung_once_is_not_what_its_answers_usually_take() -> None:
    """The calls that were lost took all their time; one that hangs again must not get as much."""
    plane = await Plane().serve(two())
    await plane.asks(30)
    for _ in range(10):
        plane.recorder.meter.call("toy", "v2", CallStatus.TIMEOUT, seconds=30.0, run_seconds=30.0, rows=1)
    plane.runtime.models[2].behave = lambda inputs: asyncio.get_running_loop().create_future()
    hanging = [asyncio.create_task(plane.ask()) for _ in range(3)]
    for _ in range(3):
        await asyncio.sleep(0)
    for _ in range(14):
        await plane.tick(0.25)
    assert plane.mode is Mode.EJECTED
    await plane.tick(5.1)
    assert plane.mode is Mode.EJECTED, "nothing to try it on, and those inside still wait"
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_service_elsewhere_is_tried_with_real_calls_only() -> None:
    remote = package(2, runtime=RuntimeKind.REMOTE)
    plane = await Plane().serve(endpoint(remote, package(1), policy=LIVE))
    plane.bad[2] = always
    await plane.asks(5)
    await plane.settle()
    asked = len(plane.runtime.models[2].ran)
    await plane.tick(5.1)
    assert len(plane.runtime.models[2].ran) == asked, "no probe of ours"
    assert plane.mode is Mode.SERVING
    assert await plane.asks(2) == ["", ""]
    await plane.tick(0.3)
    assert await plane.ask() == "v1"


async def test_a_fallback_elsewhere_is_not_asked_to_prove_itself() -> None:
    plane = await Plane().serve(endpoint(package(2), package(1, runtime=RuntimeKind.REMOTE), policy=LIVE))
    plane.runtime.models[1].ran.clear()
    plane.bad[2] = always
    await plane.asks(5)
    await plane.settle()
    assert plane.mode is Mode.EJECTED
    assert plane.runtime.models[1].ran == []


async def test_a_plane_that_begins_and_cannot_load_the_live_version() -> None:
    plane = await Plane(damaged=(2,)).serve(two(), revision=0)
    assert await plane.ask() == "v1"
    assert [told[:2] for told in plane.told] == [("variant.ejected", "v2")]
    await plane.serve(two(), revision=0)
    assert len(plane.told) == 1


# --- questions of gates


async def test_a_gate_s_question_is_nobody_s_call() -> None:
    plane = await Plane().serve(two(cache=Cache(size_mb=1)))
    token = plane.recorder.gate_token
    for _ in range(2):
        assert await plane.ask(**{FORCED_HEADER: "v2", GATE_HEADER: token}) == "v2"
    (first, second) = plane.journal.calls()
    assert (first.reason, first.counted, first.from_user) == (Reason.GATE, False, False)
    assert second.reason is Reason.GATE
    assert len(plane.runtime.models[2].ran) == 2, "not from the cache"
    assert plane.recorder.meter.lanes == {}
    assert plane.recorder.meter.counters["headrace_gate_calls_total", CallStatus.OK] == 2


async def test_a_gate_s_failures_eject_nobody() -> None:
    plane = await Plane().serve(two())
    plane.bad[2] = always
    for _ in range(20):
        await plane.ask(**{FORCED_HEADER: "v2", GATE_HEADER: plane.recorder.gate_token})
    assert plane.told == []


@pytest.mark.parametrize("shown", ["", "1", "true", "f" * 64])
async def test_without_the_token_it_is_a_caller_s(shown: str) -> None:
    plane = await Plane().serve(two())
    await plane.ask(**{FORCED_HEADER: "v2", GATE_HEADER: shown})
    await plane.ask(**{GATE_HEADER: plane.recorder.gate_token})
    forced, plain = plane.journal.calls()
    assert forced.reason is Reason.FORCED
    assert plain.reason is Reason.BUCKET, "who forces nothing is routed as everybody"
    assert forced.from_user
    assert plain.from_user
