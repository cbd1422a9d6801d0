"""All users at once, and back at once: for changes that must not be live side by side.

Before the switch the candidate is there for those who ask for it, and the baseline's rates are learnt; after it each
rate is held to what it was. That is a comparison with the past, so it proves less than a canary: no proof is asked for.
"""

from __future__ import annotations

from dataclasses import replace

from headrace.release.strategies import base
from headrace.release.strategies.metrics import ERRORS, FEEDBACK, SLOW
from headrace.types.strategy import ReleasePlan, Step, StepKind, Strategy
from headrace.types.traffic import BUCKETS

WATCH_SECONDS = 300.0  # in a minute a rate four times as high is hardly ever told from what it was


def make(_shares: tuple[int, ...], common: Step) -> ReleasePlan:
    watch = common.min_seconds if common.min_seconds != Step().min_seconds else WATCH_SECONDS
    return ReleasePlan(
        strategy=Strategy.BLUE_GREEN,
        steps=(
            replace(common, kind=StepKind.PREVIEW, min_units=0),
            replace(common, kind=StepKind.SWITCH, share=BUCKETS, min_seconds=watch),
        ),
        metrics=(ERRORS, replace(FEEDBACK, required=False), *SLOW),
        proof=False,
        cold_seconds=base.COLD_SECONDS,
    )
