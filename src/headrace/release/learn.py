"""What an interval adds to the evidence. Pure; called by advance.py, and so also by replay.py.

| kind | an event is compared | with no one to compare (a switch) |
|---|---|---|
| errors, slow | among the units at risk in the interval | with the rate before, times the margin |
| feedback, rate | among all who called in the step of the call that it is about | no |
| value | means, of the first value of each unit (in the release; in the step) | no |
| flips | no: the rate itself, with the tolerance | |

More of an event may be better (`Direction.HIGHER`): then baseline and candidate change places.
"""

from __future__ import annotations

from dataclasses import replace

from headrace.release import asymptotic, betting, evalue
from headrace.release.sums import summed
from headrace.types.pair import PairTally
from headrace.types.release import Cohort, Interval, MetricEvidence, Release, Tally
from headrace.types.strategy import Direction, MetricKind, MetricSpec, Role, Step, StepKind
from headrace.types.traffic import BUCKETS

_UNKNOWN_RATE = 0.05  # the limit of a switch when nothing was seen before it


def begin(spec: MetricSpec, steps: int) -> MetricEvidence:
    """Before anything was seen. A success has to be better, not just no worse by a margin."""
    if spec.kind is not MetricKind.VALUE:
        return evalue.begin(steps)
    higher, margin = spec.direction is Direction.HIGHER, 0.0 if spec.role is Role.SUCCESS else spec.margin
    anew = steps if steps > 1 else 0
    if spec.low is None or spec.high is None:
        normal = asymptotic.begin(margin=margin, higher_is_better=higher)
        return MetricEvidence(normal=normal, normal_steps=(normal,) * anew)
    bets = betting.begin(low=spec.low, high=spec.high, margin=margin, higher_is_better=higher)
    return MetricEvidence(bets=bets, bets_steps=(bets,) * anew)


def learn(release: Release, interval: Interval) -> Release:
    had, steps = release.evidence or {}, release.plan.steps
    evidence = {
        spec.name: _add(had.get(spec.name) or begin(spec, len(steps)), spec, interval, steps)
        for spec in release.plan.metrics
    }
    return replace(
        release,
        evidence=evidence,
        step_units=interval.candidate_units,
        failures_in_row=interval.failures_in_row,
        exposed=(*release.exposed[: release.step], interval.exposed),
        pairs=release.pairs if interval.pairs is None else summed(release.pairs or PairTally(), interval.pairs),
    )


def next_step(
    evidence: dict[str, MetricEvidence], metrics: tuple[MetricSpec, ...], step: Step
) -> dict[str, MetricEvidence]:
    """What is proven step by step begins anew; a switch is held to what was seen before it."""
    return {spec.name: _begin_step(evidence[spec.name], spec, step) for spec in metrics}


def _begin_step(had: MetricEvidence, spec: MetricSpec, step: Step) -> MetricEvidence:
    fresh = replace(had, not_worse_step=(0.0,) * len(had.not_worse_step), tolerable=(0.0,) * len(had.tolerable))
    if step.kind is not StepKind.SWITCH or not spec.kind.of_calls:
        return fresh
    return replace(fresh, limit=_limit(had, spec), beyond=evalue.NO_HARM)


def _limit(had: MetricEvidence, spec: MetricSpec) -> float:
    """The baseline's rate of events among units at risk, as high as it may well have been, times the margin."""
    seen = evalue.upper(had.baseline_risk_events, had.baseline_risk) if had.baseline_risk else _UNKNOWN_RATE
    odds = spec.margin * seen / (1 - seen)
    return max(spec.tolerance, odds / (1 + odds))


def _add(had: MetricEvidence, spec: MetricSpec, interval: Interval, steps: tuple[Step, ...]) -> MetricEvidence:
    baseline, candidate = interval.called
    learnt = replace(
        had,
        baseline_units=max(had.baseline_units, baseline),
        candidate_units=max(had.candidate_units, candidate),
        cut_ms=interval.cuts.get(spec.name, had.cut_ms),
    )
    if spec.kind is MetricKind.FLIPS:
        return _add_pairs(had, spec, interval.release.get(spec.name, Tally()))
    if spec.kind is MetricKind.VALUE:
        return _add_scores(learnt, spec, interval, steps)
    if not spec.kind.of_calls:
        for cohort in interval.late:
            if cohort.about == spec.event:
                learnt = _count(learnt, spec, cohort, now=interval.step)
        return learnt
    whole, this = (tallies.get(spec.name, Tally()) for tallies in (interval.release, interval.step_wise))
    learnt = _count(learnt, spec, Cohort(step=interval.step, release=whole, step_wise=this), now=interval.step)
    learnt = replace(
        learnt,
        tolerable=evalue.add_tolerable(had.tolerable, this, spec.tolerance),
        baseline_risk=had.baseline_risk + whole.baseline_units,
        baseline_risk_events=had.baseline_risk_events + whole.baseline_events,
    )
    if steps[interval.step].kind is StepKind.SWITCH:
        learnt = replace(learnt, beyond=evalue.add_beyond(had.beyond, whole, had.limit))
    return learnt


def _add_pairs(had: MetricEvidence, spec: MetricSpec, pairs: Tally) -> MetricEvidence:
    return replace(
        had,
        limit=spec.tolerance,
        beyond=evalue.add_beyond(had.beyond or evalue.NO_HARM, pairs, spec.tolerance),
        tolerable=evalue.add_tolerable(had.tolerable, pairs, spec.tolerance),
        candidate_units=had.candidate_units + pairs.candidate_units,
        candidate_events=had.candidate_events + pairs.candidate_events,
    )


def _add_scores(had: MetricEvidence, spec: MetricSpec, interval: Interval, steps: tuple[Step, ...]) -> MetricEvidence:
    """Each with the share of its own step: that is the chance with which its unit got the candidate."""
    for each in interval.scores:
        if each.about != spec.event:
            continue
        share, on = steps[each.step].share / BUCKETS, sum(score.candidate for score in each.scores)
        had = replace(
            had,
            bets=had.bets and betting.add(had.bets, each.scores, share),
            normal=had.normal and asymptotic.add(had.normal, each.scores, share),
            bets_steps=tuple(
                betting.add(state, each.scores + each.again, share) if number == each.step else state
                for number, state in enumerate(had.bets_steps)
            ),
            normal_steps=tuple(
                asymptotic.add(state, each.scores + each.again, share) if number == each.step else state
                for number, state in enumerate(had.normal_steps)
            ),
            baseline_events=had.baseline_events + len(each.scores) - on,
            candidate_events=had.candidate_events + on,
        )
    return had


def _count(had: MetricEvidence, spec: MetricSpec, seen: Cohort, *, now: int) -> MetricEvidence:
    """`seen` is of its own step, which for what comes late is one before `now`."""
    whole, this = _oriented(spec, seen.release), _oriented(spec, seen.step_wise)
    margin = 1.0 if spec.role is Role.SUCCESS else spec.margin  # a success has to be better, not just no worse
    steps = list(had.harm_steps)
    steps[seen.step] = evalue.add_harm(steps[seen.step], this)
    step = evalue.add_not_worse(had.not_worse_step, this, margin)
    return replace(
        had,
        harm=evalue.add_harm(had.harm, whole),
        harm_steps=tuple(steps),
        not_worse=evalue.add_not_worse(had.not_worse, whole, margin),
        not_worse_step=step if seen.step == now else had.not_worse_step,
        baseline_events=had.baseline_events + seen.release.baseline_events,
        candidate_events=had.candidate_events + seen.release.candidate_events,
    )


def _oriented(spec: MetricSpec, tally: Tally) -> Tally:
    """As if the event were a bad one."""
    if spec.direction is Direction.LOWER:
        return tally
    return Tally(
        baseline_units=tally.candidate_units,
        candidate_units=tally.baseline_units,
        baseline_events=tally.candidate_events,
        candidate_events=tally.baseline_events,
    )
