"""Every user at once. The baseline stays loaded, so that the way back is as fast as the way here.

There is nobody left to compare with, so each metric is tested against the rate that it had before, with its margin
(`MetricEvidence.limit`): a comparison with the past, that a rising base rate can mislead, and so says less than a share
does. Over once it was watched long enough by enough users without a sign of harm.
"""

from __future__ import annotations

from headrace.release import words
from headrace.release.steps.base import Finding, ask, go, hold, is_late, is_young
from headrace.types.release import Interval, Release


def judge(release: Release, interval: Interval, now: float) -> Finding:
    if is_young(release, interval, now):
        why = words.waiting(release, interval, now)
        return ask(words.undecided(release, why)) if is_late(release, now) else hold(why)
    return go(words.watched(release, interval))
