"""A share of users, compared with the others.

Over once it is old enough and enough users were answered without a sign of harm. The last one, before everybody
follows, also needs the proof that the plan asks for; when its time is up without, a person is asked.
"""

from __future__ import annotations

from headrace.release import words
from headrace.release.proof import unproven
from headrace.release.steps.base import Finding, ask, go, hold, is_last_of, is_late, is_young
from headrace.types.release import Interval, Release
from headrace.types.strategy import StepKind


def judge(release: Release, interval: Interval, now: float) -> Finding:
    if is_young(release, interval, now):
        why = words.waiting(release, interval, now)
        return ask(words.undecided(release, why)) if is_late(release, now) else hold(why)
    if not is_last_of(release, StepKind.SHARE):
        return go(words.advanced(release, interval))
    if why := unproven(release):
        return ask(words.undecided(release, why)) if is_late(release, now) else hold(why)
    return go(words.proven(release) if release.plan.proof else words.advanced(release, interval))
