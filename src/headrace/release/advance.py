"""The heart of a release: what was seen in, what to do out. Pure, and the same inputs always give the same verdict.

Called by turn.py once per interval, and by replay.py with the stored intervals. The order of precedence:

    1  a data plane cannot run the candidate, or it fails again and again      → roll back (outside statistics)
    2  a critical metric's e-value reached its limit                           → roll back, also while paused
    3  paused                                                                  → hold
    4  the step is over, by the rule of its kind (steps/)                      → advance, once the split is as asked for
    5  it cannot decide                                                        → inconclusive: pause and ask
    6  else                                                                    → hold
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from headrace.release import evalue, learn, srm, words
from headrace.release.steps.registry import RULES
from headrace.types.release import Event, Interval, Judgement, Phase, Release, Verdict
from headrace.types.traffic import BUCKETS

ACTOR = "system:release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`release` is what it has become. `share` is the candidate's new one, of traffic.BUCKETS; None: as it was."""

    release: Release
    judgement: Judgement
    share: int | None = None


def advance(release: Release, interval: Interval, now: float) -> Decision:
    seen = learn.learn(release, interval)
    if harm := _harm(seen, interval):
        return _end(seen, Phase.ROLLED_BACK, "rolled_back", harm, now, share=0)
    if release.phase is Phase.PAUSED:
        return _hold(seen, f"paused: {release.paused_reason}", now)
    found = RULES[release.current.kind](seen, interval, now)
    if found.verdict is Verdict.HOLD:
        return _hold(seen, found.reason, now)
    if found.verdict is Verdict.INCONCLUSIVE:
        return _ask(seen, found.reason, now)
    if srm.alarming(exposures(seen)):
        return _ask(seen, words.mismatch(seen), now)
    if not release.is_last:
        return _next_step(seen, found.reason, now)
    judgement = Judgement(verdict=Verdict.ADVANCE, reason=found.reason, time=now)
    return _end(seen, Phase.PROMOTED, "promoted", judgement, now, share=BUCKETS)


def resumed(release: Release, now: float) -> Release:
    """A person let it go on: the step's clock begins anew, so that one paused as inconclusive gets its full time again.
    In a step that waits for approval, that is the approval."""
    return replace(release, phase=Phase.PROGRESSING, paused_reason="", step_started=now, approved=True)


def exposures(release: Release) -> list[tuple[float, int, int]]:
    """By step: the share, and the units of baseline and candidate."""
    steps = zip(release.plan.steps, release.exposed, strict=False)
    return [(step.share / BUCKETS, baseline, candidate) for step, (baseline, candidate) in steps]


def blind(release: Release, reason: str, now: float) -> Decision:
    """The evidence could not be read. That is nobody's failure: everything stays as it is, and says so."""
    judgement = Judgement(verdict=Verdict.ERROR, reason=f"the evidence cannot be read: {reason}", time=now)
    return Decision(release=replace(release, judgement=judgement), judgement=judgement)


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
    step = release.plan.steps[release.step + 1]
    detail = f"{words.step(release.current)} → {words.step(step)}: {reason}"
    event = Event(time=now, name="step", detail=detail, actor=ACTOR, share=step.share)
    moved = replace(
        release,
        step=release.step + 1,
        step_started=now,
        step_units=0,
        approved=False,
        evidence=learn.next_step(release.evidence or {}, release.plan.metrics, step),
        judgement=judgement,
        history=(*release.history, event),
    )
    return Decision(release=moved, judgement=judgement, share=step.share)


def _end(release: Release, phase: Phase, name: str, judgement: Judgement, now: float, *, share: int) -> Decision:
    event = Event(time=now, name=name, detail=judgement.reason, actor=ACTOR, share=share)
    ended = replace(release, phase=phase, judgement=judgement, ended=now, history=(*release.history, event))
    return Decision(release=ended, judgement=judgement, share=share)


def share_of(release: Release) -> int:
    """The candidate's share now, of traffic.BUCKETS."""
    if release.phase in (Phase.PROGRESSING, Phase.PAUSED):
        return release.current.share
    return BUCKETS if release.phase is Phase.PROMOTED else 0
