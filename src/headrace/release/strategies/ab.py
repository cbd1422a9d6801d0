"""Two shares side by side until a horizon, then a reading: which of two is better, not whether one is harmful.

Nothing but harm to a guardrail ends it earlier. At the horizon both intervals that one can quote are read: the
fixed one, valid since nobody chose when to look, and the always-valid one. A person
decides, unless the plan says promote.
"""

from __future__ import annotations

from dataclasses import replace

from headrace.release.strategies import base
from headrace.release.strategies.metrics import ERRORS, FEEDBACK, SLOW
from headrace.types.strategy import AtEnd, ReleasePlan, Step, StepKind, Strategy

HALF = 5_000
HORIZON = 1_000  # users of each version


def make(shares: tuple[int, ...], common: Step) -> ReleasePlan:
    units = common.min_units if common.min_units > Step().min_units else HORIZON
    step = replace(common, kind=StepKind.HORIZON, share=shares[0] if shares else HALF, min_units=units)
    return ReleasePlan(
        strategy=Strategy.AB,
        steps=(step,),
        metrics=(ERRORS, FEEDBACK, *SLOW),
        cold_seconds=base.COLD_SECONDS,
        at_end=AtEnd.ASK,
    )
