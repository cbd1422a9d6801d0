"""An A/B test: two shares side by side until the horizon, however the comparison looks meanwhile.

The horizon is reached when either version was seen by `min_units` users and `min_seconds` have passed, or the time is
up. Only harm to a guardrail ends it earlier. What follows is the plan's `at_end`.
"""

from __future__ import annotations

from headrace.release import words
from headrace.release.proof import unproven
from headrace.release.steps.base import Finding, ask, go, hold, is_late, waited
from headrace.types.release import Interval, Release
from headrace.types.strategy import AtEnd


def judge(release: Release, interval: Interval, now: float) -> Finding:
    step = release.current
    reached = waited(release, now) >= step.min_seconds and min(interval.exposed) >= step.min_units
    if not reached and not is_late(release, now):
        return hold(words.before_horizon(release, interval, now))
    if release.plan.at_end is AtEnd.ASK:
        return ask(words.horizon(release, interval))
    if why := unproven(release):
        return ask(f"{words.horizon(release, interval)}; {why}")
    return go(words.proven(release))
