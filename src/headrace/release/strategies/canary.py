"""A growing share of users: 1 → 5 → 25 → 50 → 100 %. The way for nearly everything."""

from __future__ import annotations

from headrace.release.strategies import base
from headrace.release.strategies.metrics import COMPARED
from headrace.types.strategy import ReleasePlan, Step, Strategy

SHARES = (100, 500, 2_500, 5_000, 10_000)


def make(shares: tuple[int, ...], common: Step) -> ReleasePlan:
    return ReleasePlan(
        strategy=Strategy.CANARY,
        steps=base.shares(shares or SHARES, common),
        metrics=COMPARED,
        cold_seconds=base.COLD_SECONDS,
    )
