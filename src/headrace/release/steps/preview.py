"""Nobody has the candidate but those who send the canary header; what the others see is the measure for later steps.

Over when it is old enough: what testers do is no sample, so there is nothing to prove. A candidate that fails them
again and again is rolled back by the guard, as in every step.
"""

from __future__ import annotations

from headrace.release import words
from headrace.release.steps.base import Finding, go, hold, waited
from headrace.types.release import Interval, Release


def judge(release: Release, interval: Interval, now: float) -> Finding:
    if waited(release, now) < release.current.min_seconds:
        return hold(words.waiting(release, interval, now))
    return go(words.previewed(release))
