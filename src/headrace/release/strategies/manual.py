"""A canary in which a person opens each step. Evidence still rolls back by itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from headrace.release.strategies import base, canary
from headrace.release.strategies.metrics import COMPARED
from headrace.types.strategy import ReleasePlan, Step, StepKind, Strategy


def make(shares: tuple[int, ...], common: Step) -> ReleasePlan:
    steps = base.shares(shares or canary.SHARES, common)
    gated = chain.from_iterable((step, replace(step, kind=StepKind.APPROVAL)) for step in steps)
    return ReleasePlan(strategy=Strategy.MANUAL, steps=tuple(gated), metrics=COMPARED, cold_seconds=base.COLD_SECONDS)
