"""The heart of a release: what was seen in, what to do out. Pure, and the same inputs always give the same verdict.

Called by turn.py once per interval, and by replay.py with the stored intervals. The order of precedence:

    1  a data plane cannot run the candidate, or it fails again and again      → roll back (outside statistics)
    2  a critical metric's e-value reached its limit                           → roll back, also while paused
    3  paused                                                                  → hold
    4  the step is too short or has too few users                              → hold
    5  an earlier step                                                         → advance: there is no sign of harm
    6  the last step: every required metric is proven not worse, or tolerable  → advance: all traffic
    7  the last step: time is up                                               → inconclusive: pause and ask
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from headrace.release import evalue, words
from headrace.types.release import (
    Cohort,
    Event,
    Interval,
    Judgement,
    MetricEvidence,
    MetricKind,
    MetricSpec,
    Phase,
    Release,
    Tally,
    Verdict,
)
from headrace.types.traffic import BUCKETS

ACTOR = "system:release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`release` is what it has become. `share` is the candidate's new one, of traffic.BUCKETS; None: as it was."""

    release: Release
    judgement: Judgement
    share: int | None = None


def advance(release: Release, interval: Interval, now: float) -> Decision:
    seen = replace(
        release,
        evidence=_learn(release, interval),
        step_units=interval.candidate_units,
        failures_in_row=interval.failures_in_row,
    )
    if harm := _harm(seen, interval):
        return _end(seen, Phase.ROLLED_BACK, "rolled_back", harm, now, share=0)
    if release.phase is Phase.PAUSED:
        return _hold(seen, f"paused: {release.paused_reason}", now)
    step = release.plan.steps[release.step]
    if now - release.step_started < step.min_seconds or interval.candidate_units < step.min_units:
        if now - release.step_started >= step.max_seconds:
            return _ask(seen, words.undecided(seen, words.waiting(seen, interval, now)), now)
        return _hold(seen, words.waiting(seen, interval, now), now)
    if release.step < len(release.plan.steps) - 1:
        return _next_step(seen, words.advanced(seen, interval), now)
    if why := _unproven(seen):
        late = now - release.step_started >= step.max_seconds
        return _ask(seen, words.undecided(seen, why), now) if late else _hold(seen, why, now)
    reason = Judgement(verdict=Verdict.ADVANCE, reason=words.proven(seen), time=now)
    return _end(seen, Phase.PROMOTED, "promoted", reason, now, share=BUCKETS)


def blind(release: Release, reason: str, now: float) -> Decision:
    """The evidence could not be read. That is nobody's failure: everything stays as it is, and says so."""
    judgement = Judgement(verdict=Verdict.ERROR, reason=f"the evidence cannot be read: {reason}", time=now)
    return Decision(release=replace(release, judgement=judgement), judgement=judgement)


# --- learning


def _learn(release: Release, interval: Interval) -> dict[str, MetricEvidence]:
    had = release.evidence or {}
    return {
        spec.name: _add(had.get(spec.name) or evalue.begin(len(release.plan.steps)), spec, interval)
        for spec in release.plan.metrics
    }


def _add(had: MetricEvidence, spec: MetricSpec, interval: Interval) -> MetricEvidence:
    baseline, candidate = interval.called
    learnt = replace(
        had,
        baseline_units=max(had.baseline_units, baseline),
        candidate_units=max(had.candidate_units, candidate),
        cut_ms=interval.cuts.get(spec.name, had.cut_ms),
    )
    if spec.kind is MetricKind.FEEDBACK:
        for cohort in interval.feedback:
            learnt = _count(learnt, spec, cohort, now=interval.step)
        return learnt
    whole, step = (tallies.get(spec.name, Tally()) for tallies in (interval.release, interval.step_wise))
    learnt = _count(learnt, spec, Cohort(step=interval.step, release=whole, step_wise=step), now=interval.step)
    return replace(learnt, tolerable=evalue.add_tolerable(had.tolerable, step, spec.tolerance))


def _count(had: MetricEvidence, spec: MetricSpec, seen: Cohort, *, now: int) -> MetricEvidence:
    """`seen` is of its own step, which for late feedback is one before `now`."""
    steps = list(had.harm_steps)
    steps[seen.step] = evalue.add_harm(steps[seen.step], seen.step_wise)
    step = evalue.add_not_worse(had.not_worse_step, seen.step_wise, spec.margin)
    return replace(
        had,
        harm=evalue.add_harm(had.harm, seen.release),
        harm_steps=tuple(steps),
        not_worse=evalue.add_not_worse(had.not_worse, seen.release, spec.margin),
        not_worse_step=step if seen.step == now else had.not_worse_step,
        baseline_events=had.baseline_events + seen.release.baseline_events,
        candidate_events=had.candidate_events + seen.release.candidate_events,
    )


# --- judging


def _harm(release: Release, interval: Interval) -> Judgement | None:
    def judge(reason: str, metric: str = "") -> Judgement:
        return Judgement(verdict=Verdict.ROLL_BACK, reason=reason, metric=metric, time=interval.end)

    if interval.refused:
        return judge(words.refused(release, interval.refused))
    if interval.failures_in_row >= release.plan.max_failures_in_row:
        return judge(words.failing(release, interval.failures_in_row))
    for spec in release.plan.metrics:
        found = (release.evidence or {})[spec.name]
        if evalue.harm(found) >= evalue.roll_back_at(spec, release.plan):
            return judge(words.harmed(release, spec, found), spec.name)
    return None


def _unproven(release: Release) -> str:
    """The first required metric whose harmlessness is not proven, in words; empty when there is none."""
    for spec in release.plan.metrics:
        found = (release.evidence or {})[spec.name]
        silent = spec.kind is MetricKind.FEEDBACK and not found.candidate_events + found.baseline_events
        if not spec.required or silent:
            continue
        if max(evalue.not_worse(found), evalue.tolerable(found)) < evalue.proven_at(release.plan):
            return words.unproven(release, spec, found)
    return ""


# --- becoming


def _hold(release: Release, reason: str, now: float) -> Decision:
    judgement = Judgement(verdict=Verdict.HOLD, reason=reason, time=now)
    return Decision(release=replace(release, judgement=judgement), judgement=judgement)


def _ask(release: Release, reason: str, now: float) -> Decision:
    judgement = Judgement(verdict=Verdict.INCONCLUSIVE, reason=reason, time=now)
    event = Event(time=now, name="paused", detail=reason, actor=ACTOR, share=share_of(release))
    paused = replace(
        release,
        phase=Phase.PAUSED,
        paused_reason=reason,
        judgement=judgement,
        history=(*release.history, event),
    )
    return Decision(release=paused, judgement=judgement)


def _next_step(release: Release, reason: str, now: float) -> Decision:
    judgement = Judgement(verdict=Verdict.ADVANCE, reason=reason, time=now)
    share = release.plan.steps[release.step + 1].share
    detail = f"{words.share(share_of(release))} → {words.share(share)}: {reason}"
    event = Event(time=now, name="step", detail=detail, actor=ACTOR, share=share)
    evidence = {
        name: replace(
            found,
            not_worse_step=(0.0,) * len(found.not_worse_step),
            tolerable=(0.0,) * len(found.tolerable),
        )
        for name, found in (release.evidence or {}).items()
    }
    moved = replace(
        release,
        step=release.step + 1,
        step_started=now,
        step_units=0,
        evidence=evidence,
        judgement=judgement,
        history=(*release.history, event),
    )
    return Decision(release=moved, judgement=judgement, share=share)


def _end(release: Release, phase: Phase, name: str, judgement: Judgement, now: float, *, share: int) -> Decision:
    event = Event(time=now, name=name, detail=judgement.reason, actor=ACTOR, share=share)
    ended = replace(release, phase=phase, judgement=judgement, ended=now, history=(*release.history, event))
    return Decision(release=ended, judgement=judgement, share=share)


def share_of(release: Release) -> int:
    """The candidate's share now, of traffic.BUCKETS."""
    if release.phase in (Phase.PROGRESSING, Phase.PAUSED):
        return release.plan.steps[release.step].share
    return BUCKETS if release.phase is Phase.PROMOTED else 0
