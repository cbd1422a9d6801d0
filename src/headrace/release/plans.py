"""The default plan of a canary release, and how a request overrides parts of it.

Called by the service. Decides what is watched when nobody says otherwise.

| metric | bad event | alone rolls back | must be proven harmless before full traffic |
|---|---|---|---|
| errors | the call failed or timed out | yes, weight 2 | yes: not worse by 25 % odds, or below 1 % |
| feedback | thumbs down, or a correction that differs | yes, weight 2 | yes, if anyone was unhappy with either |
| slow_p99, slow_p90 | slower than the baseline's quantile, plus 25 % and at least 5 ms | yes | no |
| slow_p50 | the same for the median | no, shown | no |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from math import isnan
from typing import Any

import msgspec

from headrace.types.errors import BadInput
from headrace.types.release import MetricKind, MetricSpec, ReleasePlan, Step, Strategy
from headrace.types.traffic import BUCKETS

SHARES = (1.0, 5.0, 25.0, 50.0, 100.0)  # per cent
METRICS = (
    MetricSpec(name="errors", kind=MetricKind.ERRORS, required=True, weight=2, tolerance=0.01),
    MetricSpec(name="feedback", kind=MetricKind.FEEDBACK, required=True, weight=2),
    MetricSpec(name="slow_p99", kind=MetricKind.SLOW, quantile=0.99),
    MetricSpec(name="slow_p90", kind=MetricKind.SLOW, quantile=0.90),
    MetricSpec(name="slow_p50", kind=MetricKind.SLOW, quantile=0.50, critical=False),
)
_NUMBERS = {
    "min_seconds": (0, 1e9),
    "max_seconds": (1, 1e9),
    "min_units": (1, 1e9),
    "alpha": (1e-6, 0.5),
    "max_failures_in_row": (1, 1e6),
}
_KNOWN = ("shares", "metrics", *_NUMBERS)


def default_plan() -> ReleasePlan:
    return ReleasePlan(strategy=Strategy.CANARY, steps=_steps(SHARES), metrics=METRICS)


def plan_from(overrides: Mapping[str, Any] | None) -> ReleasePlan:
    """`shares` in per cent, rising; `min_seconds`, `min_units`, `max_seconds` for every step; `alpha`; `metrics`.

    Raises BadInput naming the part that cannot be used and what is allowed.
    """
    given = dict(overrides or {})
    if unknown := [name for name in given if name not in _KNOWN]:
        known = ", ".join(_KNOWN)
        raise BadInput(f"unknown part {unknown[0]!r} of a release plan; there are: {known}", field=unknown[0])
    number = {name: _number(name, given.get(name), low, high) for name, (low, high) in _NUMBERS.items()}
    steps = tuple(
        Step(
            share=step.share,
            min_seconds=_first(number["min_seconds"], step.min_seconds),
            max_seconds=_first(number["max_seconds"], step.max_seconds),
            min_units=int(_first(number["min_units"], step.min_units)),
        )
        for step in _steps(_shares(given.get("shares", SHARES)))
    )
    plan = default_plan()
    return replace(
        plan,
        steps=steps,
        metrics=_metrics(given["metrics"]) if "metrics" in given else plan.metrics,
        alpha=_first(number["alpha"], plan.alpha),
        max_failures_in_row=int(_first(number["max_failures_in_row"], plan.max_failures_in_row)),
    )


def _first(value: float | None, default: float) -> float:
    return default if value is None else value


def _steps(shares: tuple[float, ...]) -> tuple[Step, ...]:
    """Full traffic is the promotion, not a step: there is nothing to compare with any more."""
    return tuple(Step(share=round(share * BUCKETS / 100)) for share in shares if share < 100)


def _shares(value: Any) -> tuple[float, ...]:
    allowed = "a rising list of per cent, each above 0 and at most 100, such as [1, 5, 25, 50, 100]"
    if not isinstance(value, list | tuple) or not value or not all(_is_number(v) for v in value):
        raise BadInput(f"shares is {value!r}; allowed: {allowed}", field="shares")
    shares = tuple(float(v) for v in value)
    rising = all(a < b for a, b in pairwise(shares))
    if not rising or not 0.01 <= shares[0] < 100 or shares[-1] > 100:
        raise BadInput(f"shares is {value!r}; allowed: {allowed}", field="shares")
    return shares


def _number(name: str, value: Any, low: float, high: float) -> float | None:
    if value is None:
        return None
    if not _is_number(value) or not low <= value <= high:
        raise BadInput(f"{name} is {value!r}; allowed: {low:g} to {high:g}", field=name)
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not isnan(value)


def _metrics(value: Any) -> tuple[MetricSpec, ...]:
    try:
        metrics = msgspec.convert(value, tuple[MetricSpec, ...])
    except msgspec.ValidationError as error:
        raise BadInput(f"metrics: {error}", field="metrics") from error
    if not any(m.critical for m in metrics):
        raise BadInput("metrics has no critical one, so nothing could ever roll back", field="metrics")
    if len({m.name for m in metrics}) != len(metrics):
        raise BadInput("metrics has two of one name", field="metrics")
    return metrics
