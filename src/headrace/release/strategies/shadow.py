"""A copy of the traffic first, until it is proven that the answers are the same; then a canary.

For a port, a conversion or a new platform, where the answers should not change. A retrained model differs on purpose:
take a canary, or raise the tolerance of `flips`.
"""

from __future__ import annotations

from dataclasses import replace

from headrace.release.strategies import base, canary
from headrace.release.strategies.metrics import COMPARED, FLIPS
from headrace.types.strategy import ReleasePlan, Step, StepKind, Strategy
from headrace.types.traffic import BUCKETS

MIN_PAIRS = 100


def make(shares: tuple[int, ...], common: Step) -> ReleasePlan:
    first = replace(common, kind=StepKind.SHADOW, mirror=BUCKETS, min_units=max(common.min_units, MIN_PAIRS))
    return ReleasePlan(
        strategy=Strategy.SHADOW,
        steps=(first, *base.shares(shares or canary.SHARES, common)),
        metrics=(*COMPARED, FLIPS),
        cold_seconds=base.COLD_SECONDS,
    )
