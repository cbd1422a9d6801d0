"""The plan of a release: a strategy's own, or with parts of it overridden, or with steps and metrics as they are given.

Called by the service and the admin API. Decides what may be said, and names what may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from itertools import pairwise
from math import isnan
from typing import Any

import msgspec

from headrace.release.judge import check_judge
from headrace.release.strategies.metrics import FLIPS
from headrace.release.strategies.registry import STRATEGIES
from headrace.types.errors import BadInput
from headrace.types.pair import PairRules
from headrace.types.strategy import AtEnd, MetricKind, MetricSpec, ReleasePlan, Step, StepKind, Strategy
from headrace.types.traffic import BUCKETS

_NUMBERS = {
    "min_seconds": (0, 1e9),
    "max_seconds": (1, 1e9),
    "min_units": (1, 1e9),
    "alpha": (1e-6, 0.5),
    "max_failures_in_row": (1, 1e6),
    "cold_seconds": (0, 1e6),
}
_COMMON = ("min_seconds", "max_seconds", "min_units")
_KNOWN = ("strategy", "shares", "steps", "metrics", "add_metrics", "proof", "at_end", "pairs", *_NUMBERS)


def default_plan() -> ReleasePlan:
    return plan_from(None)


def plan_from(overrides: Mapping[str, Any] | None) -> ReleasePlan:
    """`strategy`; `shares` in per cent, rising; `min_seconds`, `min_units`, `max_seconds` for every step; or `steps`,
    each with its kind; `metrics` instead of the strategy's, `add_metrics` beside them; `alpha`, `proof`, `at_end`;
    `pairs`: when two answers are the same.

    Raises BadInput naming the part that cannot be used and what is allowed.
    """
    given = dict(overrides or {})
    if unknown := [name for name in given if name not in _KNOWN]:
        known = ", ".join(_KNOWN)
        raise BadInput(f"unknown part {unknown[0]!r} of a release plan; there are: {known}", field=unknown[0])
    number = {name: _number(name, given.get(name), low, high) for name, (low, high) in _NUMBERS.items()}
    common = Step(**{n: value for n in _COMMON if (value := _whole(n, number[n])) is not None})
    strategy = _one_of(Strategy, "strategy", given.get("strategy", Strategy.CANARY))
    plan = STRATEGIES[strategy](_shares(given.get("shares")), common)
    steps = _steps(given["steps"]) if "steps" in given else plan.steps
    plan = replace(
        plan,
        steps=steps,
        metrics=_metrics(plan, steps, given),
        alpha=_first(number["alpha"], plan.alpha),
        cold_seconds=_first(number["cold_seconds"], plan.cold_seconds),
        max_failures_in_row=int(_first(number["max_failures_in_row"], plan.max_failures_in_row)),
        proof=_flag("proof", given.get("proof"), plan.proof),
        at_end=_one_of(AtEnd, "at_end", given.get("at_end", plan.at_end)),
        pairs=_convert(given["pairs"], PairRules, "pairs") if "pairs" in given else plan.pairs,
    )
    _check(plan)
    return plan


def _first(value: float | None, default: float) -> float:
    return default if value is None else value


def _whole(name: str, value: float | None) -> Any:
    return int(value) if name == "min_units" and value is not None else value


def _one_of(kind: Any, name: str, value: Any) -> Any:
    try:
        return kind(value.replace("-", "_") if isinstance(value, str) else value)
    except ValueError as error:
        allowed = ", ".join(member.value for member in kind)
        raise BadInput(f"{name} is {value!r}; allowed: {allowed}", field=name) from error


def _flag(name: str, value: Any, default: bool) -> bool:
    if value is None:
        return default
    if not isinstance(value, bool):
        raise BadInput(f"{name} is {value!r}; allowed: true, false", field=name)
    return value


def _shares(value: Any) -> tuple[int, ...]:
    """In BUCKETS; empty: as the strategy says."""
    if value is None:
        return ()
    allowed = "a rising list of per cent, each above 0 and at most 100, such as [1, 5, 25, 50, 100]"
    if not isinstance(value, list | tuple) or not value or not all(_is_number(v) for v in value):
        raise BadInput(f"shares is {value!r}; allowed: {allowed}", field="shares")
    shares = tuple(float(v) for v in value)
    rising = all(a < b for a, b in pairwise(shares))
    if not rising or not 0.01 <= shares[0] < 100 or shares[-1] > 100:
        raise BadInput(f"shares is {value!r}; allowed: {allowed}", field="shares")
    return tuple(round(share * BUCKETS / 100) for share in shares)


def _number(name: str, value: Any, low: float, high: float) -> float | None:
    if value is None:
        return None
    if not _is_number(value) or not low <= value <= high:
        raise BadInput(f"{name} is {value!r}; allowed: {low:g} to {high:g}", field=name)
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not isnan(value)


def _steps(value: Any) -> tuple[Step, ...]:
    """`share` and `mirror` in per cent, as people write them."""
    if not isinstance(value, list | tuple) or not value or not all(isinstance(step, Mapping) for step in value):
        raise BadInput(f"steps is {value!r}; allowed: a list of steps, each with its kind", field="steps")
    found = []
    for number, given in enumerate(value):
        at = f"steps[{number}]"
        shares = {name: _number(f"{at}.{name}", given.get(name), 0, 100) for name in ("share", "mirror")}
        raw = {**given, **{name: round(v * BUCKETS / 100) for name, v in shares.items() if v is not None}}
        found.append(_convert(raw, Step, at))
    return tuple(found)


def _metrics(plan: ReleasePlan, steps: tuple[Step, ...], given: Mapping[str, Any]) -> tuple[MetricSpec, ...]:
    """A plan that got a shadow step compares answers, whatever its strategy."""
    if "metrics" in given:
        metrics = _specs(given["metrics"], "metrics")
    else:
        compares = any(m.kind is MetricKind.FLIPS for m in plan.metrics)
        shadows = any(step.kind is StepKind.SHADOW for step in steps)
        metrics = plan.metrics if compares or not shadows else (*plan.metrics, FLIPS)
    return (*metrics, *_specs(given.get("add_metrics", []), "add_metrics"))


def _specs(value: Any, field: str) -> tuple[MetricSpec, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, Mapping) for each in value):
        raise BadInput(f"{field} is {value!r}; allowed: a list of metrics, each with name and kind", field=field)
    return tuple(_convert(each, MetricSpec, f"{field}[{number}]") for number, each in enumerate(value))


def _convert(value: Any, kind: Any, field: str) -> Any:
    """A part that is not known is refused: one that is ignored would be believed."""
    known = [each.name for each in fields(kind)]
    if isinstance(value, Mapping) and (unknown := [name for name in value if name not in known]):
        raise BadInput(f"unknown part {unknown[0]!r} of {field}; there are: {', '.join(known)}", field=field)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{field}: {error}", field=field) from error


# --- what belongs together


def _check(plan: ReleasePlan) -> None:
    if not any(m.guards for m in plan.metrics):
        raise BadInput("metrics has no critical one, so nothing could ever roll back", field="metrics")
    if len({m.name for m in plan.metrics}) != len(plan.metrics):
        raise BadInput("metrics has two of one name", field="metrics")
    for metric in plan.metrics:
        _check_metric(metric)
    for number, step in enumerate(plan.steps):
        _check_step(step, f"steps[{number}]")
    live = [s.share for s in plan.steps if s.kind in (StepKind.SHARE, StepKind.SWITCH, StepKind.HORIZON)]
    if any(a > b for a, b in pairwise(live)):
        raise BadInput(
            f"the shares of steps fall: {[s * 100 / BUCKETS for s in live]}; they may only rise", field="steps"
        )
    if any(s.kind is StepKind.SHADOW for s in plan.steps) and not any(m.kind is MetricKind.FLIPS for m in plan.metrics):
        raise BadInput("a shadow step compares answers: metrics needs one of kind flips", field="metrics")
    if plan.pairs.judge and not plan.pairs.texts:
        raise BadInput("pairs.judge judges texts: name the outputs that are text in pairs.texts", field="pairs.judge")
    check_judge(plan.pairs.judge)


def _check_step(step: Step, at: str) -> None:
    if step.kind in (StepKind.SHARE, StepKind.HORIZON) and not 0 < step.share < BUCKETS:
        raise BadInput(f"{at}.share is {step.share * 100 / BUCKETS:g}; allowed: above 0 and below 100", field=at)
    if step.kind is StepKind.SWITCH and step.share != BUCKETS:
        raise BadInput(f"{at}.share is {step.share * 100 / BUCKETS:g}; a switch has 100", field=at)
    if step.kind in (StepKind.SHADOW, StepKind.PREVIEW) and step.share:
        raise BadInput(f"{at}.share is {step.share * 100 / BUCKETS:g}; a {step.kind.value} has no share", field=at)
    if (step.kind is StepKind.SHADOW) != (step.mirror > 0):
        raise BadInput(f"{at}.mirror is {step.mirror * 100 / BUCKETS:g}; a shadow has one, nothing else has", field=at)
    if step.max_concurrency < 1 or step.max_queue < 1:
        raise BadInput(
            f"{at}: max_concurrency {step.max_concurrency}, max_queue {step.max_queue}; allowed: from 1", field=at
        )
    if not 0 <= step.min_seconds <= step.max_seconds or step.min_units < 0:
        raise BadInput(
            f"{at}: min_seconds {step.min_seconds:g}, max_seconds {step.max_seconds:g}, min_units {step.min_units}; "
            "allowed: none negative, and the least time at most the longest",
            field=at,
        )


def _check_metric(metric: MetricSpec) -> None:
    at = f"metrics.{metric.name}"
    posted = metric.kind in (MetricKind.RATE, MetricKind.VALUE)
    if posted != bool(metric.event):
        raise BadInput(
            f"{at}.event is {metric.event!r}; rate and value need the name that is posted, others none", field=at
        )
    bounded = metric.kind is MetricKind.VALUE and metric.low is not None and metric.high is not None
    if bounded and not 0 <= metric.margin < (metric.high or 0.0) - (metric.low or 0.0):
        raise BadInput(
            f"{at}.margin is {metric.margin!r}; allowed for a value: at least 0, below high - low",
            field=at,
            hint="how much worse the mean may be without harm, in the unit of the metric",
        )
    if metric.kind is MetricKind.SLOW and not 0 < metric.quantile < 1:
        raise BadInput(f"{at}.quantile is {metric.quantile!r}; allowed: above 0 and below 1", field=at)
    if metric.kind is MetricKind.FLIPS and not 0 < metric.tolerance < 1:
        raise BadInput(f"{at}.tolerance is {metric.tolerance!r}; allowed: above 0 and below 1", field=at)
    if not 0 <= metric.tolerance < 1 or metric.weight <= 0 or metric.min_events < 0:
        raise BadInput(
            f"{at}: tolerance {metric.tolerance!r}, weight {metric.weight!r}, min_events {metric.min_events!r}; "
            "allowed: 0 to 1, above 0, not negative",
            field=at,
        )
    if (metric.low is None) != (metric.high is None) or (
        metric.low is not None and metric.high is not None and metric.low >= metric.high
    ):
        raise BadInput(
            f"{at}: low {metric.low!r}, high {metric.high!r}; give both, the lower one first, or none", field=at
        )
