"""Only who sends the canary header, until a person promotes it or aborts."""

from __future__ import annotations

from dataclasses import replace

from headrace.release.strategies import base
from headrace.release.strategies.metrics import COMPARED
from headrace.types.strategy import ReleasePlan, Step, StepKind, Strategy


def make(_shares: tuple[int, ...], common: Step) -> ReleasePlan:
    return ReleasePlan(
        strategy=Strategy.PREVIEW,
        steps=(
            replace(common, kind=StepKind.PREVIEW, min_seconds=0.0, min_units=0),
            replace(common, kind=StepKind.APPROVAL, note="everybody gets the candidate then"),
        ),
        metrics=COMPARED,
        cold_seconds=base.COLD_SECONDS,
    )
