"""What every strategy is made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from headrace.types.strategy import ReleasePlan, Step, StepKind
from headrace.types.traffic import BUCKETS

Make = Callable[[tuple[int, ...], Step], ReleasePlan]  # shares of BUCKETS, and what each step has in common

COLD_SECONDS = 10.0  # the first calls of a model that has just been loaded are slow


def shares(found: tuple[int, ...], common: Step) -> tuple[Step, ...]:
    """Full traffic is the promotion, not a step: there is nothing to compare with any more."""
    return tuple(replace(common, kind=StepKind.SHARE, share=share) for share in found if share < BUCKETS)
