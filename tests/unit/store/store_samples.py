"""Nouns for the tests of this folder, as small as they can be."""

from __future__ import annotations

from headrace.types.call import Feedback
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.model import Datatype, ModelVersion, Package, RuntimeKind, Signature, TensorSpec
from headrace.types.release import Interval, Phase, Release, Tally
from headrace.types.strategy import MetricKind, MetricSpec, ReleasePlan, Step, Strategy
from headrace.types.traffic import TrafficPolicy

SIGNATURE = Signature(
    inputs=(TensorSpec(name="input", datatype=Datatype.FP64, shape=(-1, 64)),),
    outputs=(TensorSpec(name="label", datatype=Datatype.INT64, shape=(-1,)),),
)


def version(number: int, name: str = "digits") -> ModelVersion:
    return ModelVersion(name=name, version=number, uri=f"models:/{name}/{number}", metrics={"accuracy": 0.9})


def package(number: int) -> Package:
    return Package(
        id=f"{number:064x}",
        model="digits",
        version=number,
        source_sha256="s",
        runtime=RuntimeKind.ONNX,
        signature=SIGNATURE,
        files=(),
        created=float(number),
    )


def endpoint(name: str = "digits", share: int = 0) -> Endpoint:
    return Endpoint(
        name=name,
        model="digits",
        variants=(Variant(name="v1", model=version(1), package=package(1)),),
        policy=TrafficPolicy(baseline="v1", candidate="v2", share=share, salt="s"),
        selectors={"1": "v1"},
    )


def release(name: str, *, phase: Phase = Phase.PROGRESSING, endpoint: str = "digits") -> Release:
    steps = (Step(share=100),)
    metrics = (MetricSpec(name="errors", kind=MetricKind.ERRORS),)
    return Release(
        id=name,
        endpoint=endpoint,
        baseline="v1",
        candidate="v2",
        candidate_uri="models:/digits/2",
        plan=ReleasePlan(strategy=Strategy.CANARY, steps=steps, metrics=metrics),
        phase=phase,
        created=1.0,
        actor="ann",
    )


def interval(number: int, tally: dict[str, Tally] | None = None) -> Interval:
    return Interval(
        start=float(number),
        end=number + 1.0,
        step=0,
        candidate_units=number,
        failures_in_row=0,
        release=tally or {},
        step_wise={},
        cuts={},
        called=(0, 0),
    )


def feedback(number: int, value: object = True, time: float = 1.0) -> Feedback:
    return Feedback(id=f"f{number}", trace_id=f"tr-{number}", name="user_rating", value=value, rater="r", time=time)
