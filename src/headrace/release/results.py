"""What a release found, in numbers that one may quote: per metric both arms, their difference, and its intervals. Pure.

Called by the admin API and the console. Two intervals are given, since they answer two questions: `fixed` holds when it
is read once, at the horizon that was fixed beforehand, and is None before; `always` holds however often one looks, and
is wider. Both are of candidate minus baseline, at the release's α. Of events they need one share throughout, so a
canary that ramps has none; its e-values do not mind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.release import asymptotic, betting, evalue, once, srm
from headrace.release.advance import exposures
from headrace.release.course import Course
from headrace.release.novelty import Novelty
from headrace.types.release import Interval, MetricEvidence, Phase, Release, Tally
from headrace.types.score import Arm, Bets, Normal, Reading
from headrace.types.strategy import Direction, MetricKind, MetricSpec, StepKind
from headrace.types.traffic import BUCKETS


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResult:
    """`baseline` and `candidate`: shares of units with the event, or means; None while nobody was seen."""

    spec: MetricSpec
    baseline_units: int
    candidate_units: int
    baseline: float | None
    candidate: float | None
    fixed: Reading | None
    always: Reading | None
    log_harm: float  # natural logarithms of e-values
    log_harm_limit: float
    log_proof: float
    log_proof_limit: float
    novelty: Novelty


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Whether units came to the arms in the share that was asked for. An alarm voids every comparison."""

    log_bayes_factor: float
    alarm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    metrics: tuple[MetricResult, ...]
    split: Split
    at_horizon: bool  # of an A/B test: the fixed intervals may be quoted


def results(release: Release, intervals: Sequence[Interval] = ()) -> Results:
    """`intervals`: those that are stored, in order; without them nothing is said of novelty."""
    course = Course(release.plan.metrics)
    course.add(intervals)
    return results_of(release, course.novelties())


def results_of(release: Release, novelties: Mapping[str, Novelty]) -> Results:
    at_horizon = _at_horizon(release)
    steps = exposures(release)
    return Results(
        metrics=tuple(_result(release, spec, novelties[spec.name], at_horizon) for spec in release.plan.metrics),
        split=Split(log_bayes_factor=srm.log_bayes_factor(steps), alarm=srm.alarming(steps)),
        at_horizon=at_horizon,
    )


def _at_horizon(release: Release) -> bool:
    """The step that has a horizon is the only one, and over."""
    steps = release.plan.steps
    if len(steps) != 1 or steps[0].kind is not StepKind.HORIZON or not release.exposed:
        return False
    decided = release.phase in (Phase.PAUSED, Phase.PROMOTED, Phase.ABORTED)
    return decided and min(release.exposed[0]) >= steps[0].min_units


def _result(release: Release, spec: MetricSpec, novelty: Novelty, at_horizon: bool) -> MetricResult:
    found = (release.evidence or {}).get(spec.name, MetricEvidence())
    tally = Tally(
        baseline_units=found.baseline_units,
        candidate_units=found.candidate_units,
        baseline_events=found.baseline_events,
        candidate_events=found.candidate_events,
    )
    means = evalue.means(found)
    alpha, share = release.plan.alpha, _only_share(release)
    fixed: Reading | None = None
    if means is not None:
        fixed = once.of_means(means.baseline, means.candidate, alpha)
    elif spec.kind is not MetricKind.FLIPS:
        fixed = once.of_rates(tally, alpha)
    return MetricResult(
        spec=spec,
        baseline_units=means.baseline.units if means else found.baseline_units,
        candidate_units=means.candidate.units if means else found.candidate_units,
        baseline=_mean(means.baseline) if means else _rate(found.baseline_events, found.baseline_units),
        candidate=_mean(means.candidate) if means else _rate(found.candidate_events, found.candidate_units),
        fixed=fixed if at_horizon else None,
        always=_always(spec, found, tally, share, alpha),
        log_harm=evalue.harm(found),
        log_harm_limit=evalue.roll_back_at(spec, release.plan),
        log_proof=evalue.proof(found),
        log_proof_limit=evalue.proven_at(release.plan),
        novelty=novelty,
    )


def _always(spec: MetricSpec, found: MetricEvidence, tally: Tally, share: float, alpha: float) -> Reading | None:
    means = evalue.means(found)
    if means is not None:
        return betting.reading(means, alpha) if isinstance(means, Bets) else asymptotic.reading(means, alpha)
    if spec.kind is MetricKind.FLIPS or not 0 < share < 1 or not tally.baseline_units or not tally.candidate_units:
        return None
    return asymptotic.reading(_from_counts(tally, share, higher=spec.direction is Direction.HIGHER), alpha)


def _from_counts(tally: Tally, share: float, *, higher: bool) -> Normal:
    """As if each unit had brought a 0 or a 1: the sums that asymptotic.py would have kept."""
    units = tally.baseline_units + tally.candidate_units
    middle = (tally.baseline_events + tally.candidate_events) / units
    groups = [
        (1.0, 1.0, tally.candidate_events),
        (1.0, 0.0, tally.candidate_units - tally.candidate_events),
        (0.0, 1.0, tally.baseline_events),
        (0.0, 0.0, tally.baseline_units - tally.baseline_events),
    ]
    terms = [((arm - share) * (value - middle), count) for arm, value, count in groups]
    score = sum(term * count for term, count in terms)
    each = share * (1 - share)
    sign = -1.0 if higher else 1.0
    return Normal(
        higher_is_better=higher,
        margin=0.0,
        baseline=_arm(tally.baseline_events, tally.baseline_units),
        candidate=_arm(tally.candidate_events, tally.candidate_units),
        score=sign * score,
        information=each * units,
        squares=sum(term * term * count for term, count in terms),
        cross=sign * each * score,
        information_squares=each * each * units,
    )


def _only_share(release: Release) -> float:
    """The candidate's share of users, of one; 0 when there was more than one."""
    shares = {s.share for s in release.plan.steps if s.kind in (StepKind.SHARE, StepKind.HORIZON)}
    return shares.pop() / BUCKETS if len(shares) == 1 else 0.0


def _arm(events: int, units: int) -> Arm:
    rate = events / units if units else 0.0
    return Arm(units=units, mean=rate, squares=units * rate * (1 - rate))


def _rate(events: int, units: int) -> float | None:
    return events / units if units else None


def _mean(arm: Arm) -> float | None:
    return arm.mean if arm.units else None
