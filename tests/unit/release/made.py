"""Nouns for the tests of the release room."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headrace.base.ids import TraceIds
from headrace.release import learn
from headrace.release.plans import plan_from
from headrace.types.call import Call, CallStatus, Feedback
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.model import Datatype, ModelVersion, Package, RuntimeKind, Signature, Stage, TensorSpec
from headrace.types.release import Cohort, Event, Interval, Phase, Release, Tally
from headrace.types.strategy import ReleasePlan
from headrace.types.traffic import Reason, TrafficPolicy

IDS = TraceIds(b"k" * 32)
START = 1_700_000_000.0
PLAN = plan_from({"shares": [1, 10, 100], "min_seconds": 10, "min_units": 5, "max_seconds": 100, "cold_seconds": 0})


def signature(features: int = 4, datatype: Datatype = Datatype.FP64) -> Signature:
    return Signature(
        inputs=(TensorSpec(name="input", datatype=datatype, shape=(-1, features)),),
        outputs=(TensorSpec(name="label", datatype=Datatype.INT64, shape=(-1,)),),
    )


def version(number: int, *, stage: Stage = Stage.NONE, aliases: tuple[str, ...] = ()) -> ModelVersion:
    return ModelVersion(
        name="digits", version=number, uri=f"models:/digits/{number}", stage=stage, aliases=aliases, sha256=f"s{number}"
    )


def variant(number: int, *, shape: Signature | None = None, **of_version: Any) -> Variant:
    package = Package(
        id=f"p{number}",
        model="digits",
        version=number,
        source_sha256=f"s{number}",
        runtime=RuntimeKind.ONNX,
        signature=shape or signature(),
        files=(),
    )
    return Variant(name=f"v{number}", model=version(number, **of_version), package=package)


def endpoint(*variants: Variant, baseline: str = "v1", **policy: Any) -> Endpoint:
    return Endpoint(
        name="digits",
        model="digits",
        variants=variants or (variant(1),),
        policy=TrafficPolicy(baseline=baseline, **policy),
        selectors={},
    )


def release(plan: ReleasePlan = PLAN, **changes: Any) -> Release:
    started = Event(time=START, name="started", detail="", actor="ann", share=plan.steps[0].share)
    made = Release(
        id="rel_1",
        endpoint="digits",
        baseline="v1",
        candidate="v2",
        candidate_uri="models:/digits/2",
        plan=plan,
        phase=Phase.PROGRESSING,
        created=START,
        actor="ann",
        step_started=START,
        evidence={m.name: learn.begin(m, plan.steps) for m in plan.metrics},
        history=(started,),
    )
    return replace(made, **changes)


def interval(at: float, *, step: int = 0, units: int = 100, **changes: Any) -> Interval:
    """`at`: seconds since the release began. Tallies are by metric, for both scopes alike; `unhappy` is feedback."""
    tallies: dict[str, Tally] = changes.pop("tallies", {})
    unhappy: Tally | None = changes.pop("unhappy", None)
    some = tallies.get("errors", unhappy or Tally())
    made = Interval(
        start=START + at - 1,
        end=START + at,
        step=step,
        candidate_units=units,
        failures_in_row=0,
        release=tallies,
        step_wise=tallies,
        late=() if unhappy is None else (Cohort(step=step, release=unhappy, step_wise=unhappy),),
        cuts={},
        called=(some.baseline_units, some.candidate_units),
    )
    return replace(made, **changes)


def call(unit: str, *, candidate: bool = False, at: float = 1.0, **changes: Any) -> Call:
    made = Call(
        trace_id=IDS.mint(START + at),
        time=START + at,
        endpoint="digits",
        variant="v2" if candidate else "v1",
        version=2 if candidate else 1,
        unit=unit,
        sticky=True,
        counted=True,
        reason=Reason.BUCKET,
        status=CallStatus.OK,
        latency_ms=1.0,
        output=[7],
    )
    return replace(made, **changes)


def feedback(about: Call, name: str, value: Any) -> Feedback:
    return Feedback(
        id=f"{about.trace_id}:{name}", trace_id=about.trace_id, name=name, value=value, rater="r", time=about.time + 1
    )
