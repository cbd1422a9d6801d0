"""What a plan would do at today's traffic: how long each step takes, and the smallest harm that it can see. Pure.

Called by the dry run. It plans and never judges: rates and traffic are those of the latest calls, and the times are
medians (power.py has the formulas). What depends on a person, or on people's feedback, it cannot know and does not say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, log

from headrace.release import evalue, power, words
from headrace.types.call import Call, CallStatus
from headrace.types.strategy import MetricKind, MetricSpec, ReleasePlan, Step, StepKind
from headrace.types.traffic import BUCKETS

RATIOS = (2.0, 4.0, 10.0)  # how many times as many bad events
_HALVES = log(2.0)  # the e-value is half the release's and half the step's
_RARE = 0.5  # events that were as good as seen when none was: a rate of 0 would take for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """Of the endpoint's latest calls. `error_rate` is of calls."""

    calls: int
    calls_per_second: float
    users_per_second: float  # distinct ones
    error_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepForecast:
    """`seconds`: None when a person or something unknown ends it. `waits_for`: time, users, proof or a person."""

    name: str
    kind: StepKind
    seconds: float | None
    waits_for: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How soon harm of one metric is found while the candidate has this share; None: not within the step's time."""

    metric: str
    rate: float  # of the baseline's calls
    share: float  # of one
    seconds_to_stop: dict[str, float | None]  # by how many times as many events: "x2", …
    smallest_ratio: float | None  # that is found with a probability of 80 % within `seconds`
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    today: Today | None  # None: nobody calls
    steps: tuple[StepForecast, ...]
    seconds: float | None  # all steps, when each can be told
    sights: tuple[Sight, ...]


def today(calls: Sequence[Call], now: float) -> Today | None:
    """`calls`: the latest of the endpoint, in any order; those of shadows and testers do not count."""
    counted = [call for call in calls if call.counted and not call.shadow_of]
    if not counted:
        return None
    seconds = max(1.0, now - min(call.time for call in counted))
    failed = sum(call.status in (CallStatus.FAILED, CallStatus.TIMEOUT) for call in counted)
    return Today(
        calls=len(counted),
        calls_per_second=len(counted) / seconds,
        users_per_second=len({call.unit for call in counted}) / seconds,
        error_rate=failed / len(counted),
    )


def forecast(plan: ReleasePlan, seen: Today | None) -> Forecast:
    steps = tuple(_step(plan, number, seen) for number in range(len(plan.steps)))
    known = [step.seconds for step in steps if step.seconds is not None]
    return Forecast(
        today=seen,
        steps=steps,
        seconds=sum(known) if len(known) == len(steps) else None,
        sights=() if seen is None else tuple(_sights(plan, steps, seen)),
    )


def _step(plan: ReleasePlan, number: int, seen: Today | None) -> StepForecast:
    step = plan.steps[number]
    waits = {"time": step.min_seconds, **_needs(plan, number, seen)}
    slowest = max(waits, key=lambda name: waits[name])
    seconds = waits[slowest]
    return StepForecast(
        name=words.step(step),
        kind=step.kind,
        seconds=seconds if isfinite(seconds) else None,
        waits_for=slowest,
    )


def _needs(plan: ReleasePlan, number: int, seen: Today | None) -> dict[str, float]:
    """Seconds for what a step needs besides its time; infinite when that cannot be told."""
    step = plan.steps[number]
    if step.kind is StepKind.APPROVAL:
        return {"a person": inf}
    if step.kind is StepKind.PREVIEW:
        return {}
    if seen is None:
        return {"users": inf}
    needs = {"users": _users(step, seen)}
    last = not any(s.kind is StepKind.SHARE for s in plan.steps[number + 1 :])
    if plan.proof and (step.kind is StepKind.SHADOW or (step.kind is StepKind.SHARE and last)):
        needs["proof"] = max((_proof(plan, spec, step, seen) for spec in plan.metrics), default=0.0)
    return needs


def _users(step: Step, seen: Today) -> float:
    if step.kind is StepKind.SHADOW:
        return step.min_units / (seen.calls_per_second * step.mirror / BUCKETS)
    share = min(step.share, BUCKETS - step.share) if step.kind is StepKind.HORIZON else step.share
    return step.min_units / (seen.users_per_second * share / BUCKETS)


def _proof(plan: ReleasePlan, spec: MetricSpec, step: Step, seen: Today) -> float:
    """Of a candidate that is as good as the baseline. Feedback and posted metrics are not foretold."""
    limit, share = evalue.proven_at(plan), step.share / BUCKETS
    if not spec.required or spec.dry_run:
        return 0.0
    if spec.kind is MetricKind.FLIPS and step.kind is StepKind.SHADOW:
        pairs = power.Traffic(per_second=seen.calls_per_second * step.mirror / BUCKETS, share=1.0)
        return power.seconds_to_tolerable(pairs, rate=0.0, tolerance=spec.tolerance, limit=limit)
    if spec.kind is not MetricKind.ERRORS or step.kind is StepKind.SHADOW:
        return 0.0
    traffic = power.Traffic(per_second=seen.calls_per_second, share=share)
    rate = _rate(spec, seen)
    ways = [power.seconds_to_not_worse(traffic, rate=rate, margin=spec.margin, limit=limit + _HALVES)]
    if spec.tolerance > seen.error_rate:
        ways.append(power.seconds_to_tolerable(traffic, rate=seen.error_rate, tolerance=spec.tolerance, limit=limit))
    return min(ways)


def _sights(plan: ReleasePlan, steps: Sequence[StepForecast], seen: Today) -> list[Sight]:
    """For the step that knows most: the live share nearest to a half."""
    live = [s for s in plan.steps if s.kind in (StepKind.SHARE, StepKind.HORIZON)]
    if not live:
        return []
    best = min(live, key=lambda step: abs(step.share - BUCKETS / 2))
    told = steps[plan.steps.index(best)].seconds
    seconds = best.max_seconds if told is None else max(told, best.min_seconds)
    traffic = power.Traffic(per_second=seen.calls_per_second, share=best.share / BUCKETS)
    found = []
    for spec in plan.metrics:
        if not spec.guards or spec.kind not in (MetricKind.ERRORS, MetricKind.SLOW):
            continue
        rate, limit = _rate(spec, seen), evalue.roll_back_at(spec, plan) + _HALVES
        takes = {f"x{ratio:g}": power.seconds_to_harm(traffic, rate=rate, ratio=ratio, limit=limit) for ratio in RATIOS}
        smallest = power.smallest_ratio(traffic, rate=rate, seconds=seconds, limit=limit)
        found.append(
            Sight(
                metric=spec.name,
                rate=rate,
                share=best.share / BUCKETS,
                seconds_to_stop={name: took if took <= best.max_seconds else None for name, took in takes.items()},
                smallest_ratio=smallest if isfinite(smallest) else None,
                seconds=seconds,
            )
        )
    return found


def _rate(spec: MetricSpec, seen: Today) -> float:
    if spec.kind is MetricKind.SLOW:
        return 1 - spec.quantile
    return max(seen.error_rate, _RARE / seen.calls)
