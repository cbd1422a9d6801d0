"""The spine: what each ending leaves in the journal, in the gate and on the version."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Mapping

import msgspec
import numpy as np
import pytest
from plane_samples import (
    Behaviour,
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
from headrace.serving.fleet import Fleet
from headrace.serving.plain import PlainDialect
from headrace.serving.predict import Answer, Predictor, Request
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.traffic.keys import key_hash
from headrace.types.call import CallStatus
from headrace.types.endpoint import Cache, Capture, Endpoint, Limits
from headrace.types.errors import (
    BadInput,
    HeadraceError,
    ModelFailed,
    NotFound,
    Overloaded,
    TimedOut,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from headrace.types.model import RuntimeKind
from headrace.types.traffic import Reason, Rule, TrafficPolicy


class Plane:
    """A spine with scripted models behind it."""

    def __init__(self, behave: Behaviour = labels) -> None:
        self.journal, self.clock = MemoryJournal(), ManualClock()
        self.recorder = recorder(self.journal, self.clock)
        self.predictor = Predictor(self.recorder)
        self.runtime = ScriptedRuntime({1: behave})
        self.fleet = Fleet(
            self.predictor,
            artifacts=Trusting(),
            runtimes={RuntimeKind.ONNX: self.runtime},
            clock=self.clock,
            retain_seconds=60,
            hashed=self.recorder.hashed,
        )

    async def serve(self, *endpoints: Endpoint, keys: tuple[str, ...] = ()) -> Plane:
        assert await self.fleet.apply(plan(3, *endpoints, keys=keys)) is None
        return self

    async def ask(
        self,
        inputs: bytes = b"[[1,2,3]]",
        *,
        model: str = "toy",
        wanted: str | None = None,
        headers: Mapping[str, str] | None = None,
        user: str = "",
        timeout_ms: int = 0,
    ) -> Answer:
        header = (headers or {}).get
        request = Request(model=model, wanted=wanted, user=user, header=header, timeout_ms=timeout_ms)
        return await self.predictor.predict(request, PlainDialect(msgspec.Raw(inputs)))

    def inside(self) -> tuple[int, list[int]]:
        return self.predictor.table.lanes["toy"].gate.inside, [loaded.refs for loaded in self.fleet.loaded()]


async def test_an_answer_and_its_line() -> None:
    plane = await Plane().serve(endpoint(package(1)))
    answer = await plane.ask(b"[[1,2,3],[4,5,6]]", user="alice")
    (call,) = plane.journal.calls()
    assert answer.body == b"[0,0]"
    assert (call.trace_id, call.endpoint, call.variant, call.version) == (answer.call.trace_id, "toy", "v1", 1)
    assert (call.status, call.rows, call.revision, call.reason) == (CallStatus.OK, 2, 3, Reason.BUCKET)
    assert (call.sticky, call.counted) == (True, True)
    assert (call.input, call.output) == ([[1, 2, 3], [4, 5, 6]], [0, 0])
    assert plane.inside() == (0, [0])


async def test_nothing_of_it_is_kept_where_capture_is_off() -> None:
    plane = await Plane().serve(endpoint(package(1), capture=Capture.NONE))
    await plane.ask()
    (call,) = plane.journal.calls()
    assert (call.input, call.output, call.status) == (None, None, CallStatus.OK)


@pytest.mark.parametrize(
    ("limits", "inputs", "kind", "status"),
    [
        (Limits(), b"[[1,2]]", BadInput, CallStatus.REJECTED),
        (Limits(max_rows=1), b"[[1,2,3],[1,2,3]]", TooLarge, CallStatus.REJECTED),
        (Limits(max_concurrency=0), b"[[1,2,3]]", Overloaded, CallStatus.SHED),
    ],
)
async def test_a_refused_call_leaves_its_line(
    limits: Limits, inputs: bytes, kind: type[HeadraceError], status: CallStatus
) -> None:
    plane = await Plane().serve(endpoint(package(1), limits=limits))
    with pytest.raises(kind) as caught:
        await plane.ask(inputs)
    (call,) = plane.journal.calls()
    assert (call.status, call.trace_id, call.input) == (status, caught.value.trace_id, None)
    assert call.error.startswith(caught.value.message)
    assert plane.inside() == (0, [0])


async def test_nan_in_the_answer_is_the_models_failure() -> None:
    def broken(inputs: Inputs) -> Outputs:
        label, scores = labels(inputs)
        scores[0, 0] = np.nan
        return [label, scores]

    plane = Plane(broken)
    await plane.serve(endpoint(package(1)))  # no warm-up rows, so it gets as far as a caller
    with pytest.raises(ModelFailed, match="'scores' has 1 values that are NaN or infinite"):
        await plane.ask()
    (call,) = plane.journal.calls()
    assert (call.status, call.counted, call.variant) == (CallStatus.FAILED, True, "v1")


async def test_a_call_that_takes_too_long_keeps_its_place_until_it_ends() -> None:
    work: list[Future[Outputs]] = []

    def slow(inputs: Inputs) -> Future[Outputs]:
        work.append(asyncio.get_running_loop().create_future())
        return work[-1]

    plane = Plane()
    await plane.serve(endpoint(package(1), limits=Limits(timeout_ms=10, max_concurrency=1)))
    plane.runtime.models[1].behave = slow
    with pytest.raises(TimedOut, match="within 10 ms"):
        await plane.ask()
    assert plane.journal.calls()[0].status is CallStatus.TIMEOUT
    assert plane.inside() == (1, [1])
    with pytest.raises(Overloaded):
        await plane.ask()
    work[0].set_exception(ModelFailed("too late to tell anyone"))
    await asyncio.sleep(0)  # the run ends
    await asyncio.sleep(0)  # what waited for it hears of it
    assert plane.inside() == (0, [0])


async def test_a_bug_of_ours_is_recorded_but_is_no_evidence() -> None:
    def bug(inputs: Inputs) -> Outputs:
        raise ZeroDivisionError

    plane = Plane()
    await plane.serve(endpoint(package(1)))
    plane.runtime.models[1].behave = bug
    with pytest.raises(ZeroDivisionError):
        await plane.ask()
    (call,) = plane.journal.calls()
    assert (call.status, call.counted, call.error) == (CallStatus.FAILED, False, "interrupted: ZeroDivisionError")
    assert plane.inside() == (0, [0])


async def test_versions_stages_and_forced_variants() -> None:
    both = endpoint(package(1), package(2), selectors={"1": "v1", "2": "v2", "Staging": "v2"})
    plane = await Plane().serve(both)
    assert (await plane.ask()).call.version == 1
    assert (await plane.ask(wanted="2")).call.version == 2
    assert (await plane.ask(wanted="Staging")).call.version == 2
    assert (await plane.ask(headers={"x-headrace-variant": "v2"})).call.version == 2
    assert [call.counted for call in plane.journal.calls()] == [True, False, False, False]
    with pytest.raises(NotFound, match="'9'"):
        await plane.ask(wanted="9")
    with pytest.raises(NotFound, match="no variant 'v9'; there are: v1, v2"):
        await plane.ask(headers={"x-headrace-variant": "v9"})


@pytest.mark.parametrize("listed", ["alice", "hash of alice"])
async def test_an_allow_list_may_name_users_or_their_hashes(listed: str) -> None:
    plane = Plane()
    unit = plane.recorder.hashed("alice") if listed.startswith("hash") else listed
    policy = TrafficPolicy(baseline="v1", candidate="v2", rules=(Rule(variant="v2", units=(unit,)),))
    await plane.serve(endpoint(package(1), package(2), policy=policy))
    assert (await plane.ask(user="alice")).call.variant == "v2"
    assert (await plane.ask(user="bob")).call.variant == "v1"


async def test_unknown_models_and_no_plan() -> None:
    plane = Plane()
    with pytest.raises(Unavailable, match="no plan yet"):
        await plane.ask()
    await plane.serve(endpoint(package(1)))
    with pytest.raises(NotFound, match="no model 'other'; there are: toy"):
        await plane.ask(model="other")
    assert plane.journal.calls() == []


async def test_a_registered_model_finds_its_only_endpoint() -> None:
    plane = await Plane().serve(endpoint(package(1), name="shop"))
    assert (await plane.ask(model="toy")).call.endpoint == "shop"
    await plane.fleet.apply(plan(4, endpoint(package(1), name="shop"), endpoint(package(1), name="lab")))
    with pytest.raises(NotFound):
        await plane.ask(model="toy")


async def test_an_endpoint_without_a_live_version() -> None:
    plane = await Plane().serve(endpoint(name="toy"))
    with pytest.raises(Unavailable, match="'toy' has no live version 'v1'; live: none"):
        await plane.ask()
    assert plane.journal.calls()[0].counted is False


async def test_keys_are_asked_for_first() -> None:
    plane = await Plane().serve(endpoint(package(1)), keys=(key_hash("secret"),))
    with pytest.raises(Unauthenticated):
        await plane.ask(model="other")
    await plane.ask(headers={"x-api-key": "secret"})


async def test_an_endpoint_with_a_cache_asks_its_model_once() -> None:
    plane = await Plane().serve(endpoint(package(1), cache=Cache(size_mb=1)))
    answers = [await plane.ask() for _ in range(3)]
    other = await plane.ask(b"[[3,2,1]]")
    assert len(plane.runtime.models[1].ran) == 2
    assert {a.body for a in (*answers, other)} == {answers[0].body}
    assert len({a.call.trace_id for a in answers}) == 3, "each is a call of its own"
    told = plane.fleet.loaded()[0].statistics
    assert (told.cache_hit.count, told.cache_miss.count, told.success.count, told.execution_count) == (2, 2, 4, 2)


async def test_what_the_model_did_wrong_is_not_kept() -> None:
    def broken(inputs: Inputs) -> Outputs:
        raise ModelFailed("it broke")

    plane = Plane(broken)
    await plane.serve(endpoint(package(1), cache=Cache(size_mb=1)))
    for _ in range(2):
        with pytest.raises(ModelFailed):
            await plane.ask()
    assert len(plane.runtime.models[1].ran) == 2


async def test_a_caller_may_wait_less_than_the_endpoint() -> None:
    plane = Plane()
    await plane.serve(endpoint(package(1)))
    plane.runtime.models[1].behave = lambda _: asyncio.get_running_loop().create_future()
    with pytest.raises(TimedOut, match="within 5 ms"):
        await plane.ask(timeout_ms=5)
