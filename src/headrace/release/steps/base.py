"""What every kind of step has to say. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.types.release import Interval, Release, Verdict
from headrace.types.strategy import StepKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """ADVANCE: the step is over. HOLD: it goes on. INCONCLUSIVE: a person is asked."""

    verdict: Verdict
    reason: str


Rule = Callable[[Release, Interval, float], Finding]  # the release with the interval learnt, the interval, now


def go(reason: str) -> Finding:
    return Finding(verdict=Verdict.ADVANCE, reason=reason)


def hold(reason: str) -> Finding:
    return Finding(verdict=Verdict.HOLD, reason=reason)


def ask(reason: str) -> Finding:
    return Finding(verdict=Verdict.INCONCLUSIVE, reason=reason)


def waited(release: Release, now: float) -> float:
    return now - release.step_started


def is_late(release: Release, now: float) -> bool:
    return waited(release, now) >= release.current.max_seconds


def is_young(release: Release, interval: Interval, now: float) -> bool:
    """Too short, or answered by too few."""
    step = release.current
    return waited(release, now) < step.min_seconds or interval.candidate_units < step.min_units


def is_last_of(release: Release, *kinds: StepKind) -> bool:
    """No later step is of these kinds."""
    return not any(step.kind in kinds for step in release.plan.steps[release.step + 1 :])
