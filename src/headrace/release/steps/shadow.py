"""Copies of calls: the candidate answers them too, nobody gets its answers, and each is compared with the one given.

Over once enough pairs were compared and it is proven that no more of them differ than is tolerated. When its time is up
without that proof, a person is asked: two good versions may differ, and only a person knows which of that is meant.
"""

from __future__ import annotations

from headrace.release import words
from headrace.release.proof import unproven
from headrace.release.steps.base import Finding, ask, go, hold, is_late, is_young
from headrace.types.release import Interval, Release


def judge(release: Release, interval: Interval, now: float) -> Finding:
    young = is_young(release, interval, now)
    if why := words.waiting(release, interval, now) if young else unproven(release):
        return ask(words.undecided(release, why)) if is_late(release, now) else hold(why)
    return go(words.advanced(release, interval))
