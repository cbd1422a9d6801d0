"""Everything stays as it is until a person says go: `headrace release resume`, or the console's button."""

from __future__ import annotations

from headrace.release import words
from headrace.release.steps.base import Finding, ask, go
from headrace.types.release import Interval, Release


def judge(release: Release, _interval: Interval, _now: float) -> Finding:
    return go("approved") if release.approved else ask(words.approval(release))
