"""What an interval adds to the evidence. Pure; called by advance.py, and so also by replay.py.

| kind | an event is compared | with no one to compare (a switch) |
|---|---|---|
| errors, slow | among the units at risk in the interval | with the rate before, times the margin |
| feedback, rate | among all who called in the step of the call that it is about | among those who called before |
| value | means, of the first value of each unit (in the release; in the step) | with the mean before |
| flips | no: the rate itself, with the tolerance | |

More of an event may be better (`Direction.HIGHER`): then baseline and candidate change places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from headrace.release import asymptotic, betting, evalue
from headrace.release.sums import summed
from headrace.types.pair import PairTally
from headrace.types.release import Cohort, Interval, Matched, MetricEvidence, Release, Scopes, Tally
from headrace.types.strategy import Direction, MetricKind, MetricSpec, Role, Step, StepKind
from headrace.types.traffic import BUCKETS

BLOCK_SECONDS = 10.0  # after a switch, judged as one: an outage is not much longer
BLOCKS = 8  # of a short watch at least
NOBODY = Tally()
_UNKNOWN_RATE = 0.05  # the limit of a switch when nothing was seen before it


def begin(spec: MetricSpec, steps: Sequence[Step]) -> MetricEvidence:
    """Before anything was seen. A success has to be better, not just no worse by a margin."""
    scopes = _scopes(spec, steps)
    if spec.kind is not MetricKind.VALUE:
        return evalue.begin(len(steps), scopes)
    higher, margin = spec.direction is Direction.HIGHER, 0.0 if spec.role is Role.SUCCESS else spec.margin
    anew = len(steps) if len(steps) > 1 else 0
    if spec.low is None or spec.high is None:
        normal = asymptotic.begin(margin=margin, higher_is_better=higher)
        return MetricEvidence(scopes=scopes, normal=normal, normal_steps=(normal,) * anew, normal_after=normal)
    bets = betting.begin(low=spec.low, high=spec.high, margin=margin, higher_is_better=higher)
    return MetricEvidence(scopes=scopes, bets=bets, bets_steps=(bets,) * anew, bets_after=bets)


def _scopes(spec: MetricSpec, steps: Sequence[Step]) -> Scopes:
    if spec.kind is MetricKind.FLIPS:
        return evalue.scopes_of(0, alone=True)
    comparing = sum(step.kind is not StepKind.SHADOW and 0 < step.share < BUCKETS for step in steps)
    return evalue.scopes_of(comparing, alone=any(step.kind is StepKind.SWITCH for step in steps))


def learn(release: Release, interval: Interval) -> Release:
    had, steps = release.evidence or {}, release.plan.steps
    evidence = {
        spec.name: _add(had.get(spec.name) or begin(spec, steps), spec, interval, steps)
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
    if spec.kind is MetricKind.FLIPS:
        return _add_pairs(had, spec, interval.release.get(spec.name, Tally()))
    if spec.kind.of_calls:
        return _add_calls(had, spec, interval, steps)
    learnt = replace(had, **_reached(had, spec, interval))
    if spec.kind is MetricKind.VALUE:
        return _add_changes(_add_scores(learnt, spec, interval, steps), spec, interval.matched)
    for cohort in interval.late:
        if cohort.about == spec.event:
            learnt = replace(learnt, **_counted(learnt, spec, cohort, now=interval.step))
    return _add_changes(learnt, spec, interval.matched)


def _reached(had: MetricEvidence, spec: MetricSpec, interval: Interval) -> dict[str, Any]:
    baseline, candidate = interval.called
    return {
        "baseline_units": max(had.baseline_units, baseline),
        "candidate_units": max(had.candidate_units, candidate),
        "cut_ms": interval.cuts.get(spec.name, had.cut_ms),
    }


def _add_calls(had: MetricEvidence, spec: MetricSpec, interval: Interval, steps: tuple[Step, ...]) -> MetricEvidence:
    whole, this = (tallies.get(spec.name, NOBODY) for tallies in (interval.release, interval.step_wise))
    cohort = Cohort(step=interval.step, release=whole, step_wise=this)
    learnt = replace(
        had,
        **_reached(had, spec, interval),
        **_counted(had, spec, cohort, now=interval.step),
        tolerable=evalue.add_tolerable(had.tolerable, this, spec.tolerance),
        baseline_risk=had.baseline_risk + whole.baseline_units,
        baseline_risk_events=had.baseline_risk_events + whole.baseline_events,
    )
    if steps[interval.step].kind is not StepKind.SWITCH:
        return learnt
    return _add_block(learnt, whole, interval, min(BLOCK_SECONDS, steps[interval.step].min_seconds / BLOCKS))


def _add_block(had: MetricEvidence, seen: Tally, interval: Interval, seconds: float) -> MetricEvidence:
    """Some seconds are judged as one, so that an outage in them is one piece of evidence, however often one looks."""
    ends = had.block_ends or interval.start + seconds
    block = Tally(
        candidate_units=had.block.candidate_units + seen.candidate_units,
        candidate_events=had.block.candidate_events + seen.candidate_events,
    )
    if interval.end < ends:
        return replace(had, block=block, block_ends=ends)
    beyond = evalue.add_block(had.beyond, block, had.limit)
    return replace(had, beyond=beyond, block=Tally(), block_ends=interval.end + seconds)


def _add_changes(had: MetricEvidence, spec: MetricSpec, found: Sequence[Matched]) -> MetricEvidence:
    """After a switch against before it: docs/design/release-statistics.md."""
    for each in found:
        if each.about != spec.event:
            continue
        if spec.kind is MetricKind.VALUE:
            had = replace(
                had,
                bets_after=had.bets_after and betting.add_matched(had.bets_after, each.scores),
                normal_after=had.normal_after and asymptotic.add_matched(had.normal_after, each.scores),
            )
        else:
            logs = evalue.add_changed(had.beyond or evalue.NO_HARM, _oriented(spec, each.tally), max(1.0, spec.margin))
            had = replace(had, beyond=logs)
    return had


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


def _counted(had: MetricEvidence, spec: MetricSpec, seen: Cohort, *, now: int) -> dict[str, Any]:
    """What becomes of the evidence. `seen` is of its own step, which for what comes late is one before `now`."""
    whole, this = _oriented(spec, seen.release), _oriented(spec, seen.step_wise)
    margin = 1.0 if spec.role is Role.SUCCESS else spec.margin  # a success has to be better, not just no worse
    steps = list(had.harm_steps)
    steps[seen.step] = evalue.add_harm(steps[seen.step], this)
    step = had.not_worse_step if seen.step != now else evalue.add_not_worse(had.not_worse_step, this, margin)
    return {
        "harm": evalue.add_harm(had.harm, whole),
        "harm_steps": tuple(steps),
        "not_worse": evalue.add_not_worse(had.not_worse, whole, margin),
        "not_worse_step": step,
        "baseline_events": had.baseline_events + seen.release.baseline_events,
        "candidate_events": had.candidate_events + seen.release.candidate_events,
    }


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
