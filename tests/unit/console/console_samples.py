"""Releases, endpoints and a visit, as the console's tests need them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headrace.base.clock import ManualClock
from headrace.base.settings import Settings
from headrace.console.messages import Language
from headrace.console.visit import Visit
from headrace.types.endpoint import Endpoint
from headrace.types.release import Event, Phase, Release
from headrace.types.strategy import MetricKind, MetricSpec, ReleasePlan, Step, Strategy
from headrace.types.traffic import TrafficPolicy

NOW = 1_700_000_000.0


@dataclass
class Services:
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    settings: Settings = field(default_factory=Settings)
    live: Any = None


def visit(language: Language = Language.ENGLISH) -> Visit:
    return Visit(services=Services(), language=language)  # type: ignore[arg-type]


def endpoint(name: str = "digits", *, share: int = 0) -> Endpoint:
    policy = TrafficPolicy(baseline="v1", candidate="v2" if share else "", share=share)
    return Endpoint(name=name, model=name, variants=(), policy=policy, selectors={})


def plan() -> ReleasePlan:
    return ReleasePlan(
        strategy=Strategy.CANARY,
        steps=tuple(Step(share=share, min_seconds=60, min_units=40) for share in (100, 500, 2500)),
        metrics=(
            MetricSpec(name="errors", kind=MetricKind.ERRORS, required=True, weight=2),
            MetricSpec(name="feedback", kind=MetricKind.FEEDBACK, weight=2),
            MetricSpec(name="slow_p99", kind=MetricKind.SLOW, quantile=0.99),
            MetricSpec(name="slow_p50", kind=MetricKind.SLOW, quantile=0.5, critical=False),
        ),
    )


def release(phase: Phase = Phase.PROGRESSING, **changes: Any) -> Release:
    values: dict[str, Any] = {
        "id": "rel_1", "endpoint": "digits", "baseline": "v1", "candidate": "v2", "candidate_uri": "models:/digits/2",
        "plan": plan(), "phase": phase, "created": NOW - 300, "actor": "ada", "step": 1, "step_started": NOW - 30,
        "step_units": 12, "history": (Event(time=NOW - 300, name="started", detail="", actor="ada", share=100),),
    }  # fmt: skip
    return Release(**values | changes)
