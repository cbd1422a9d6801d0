"""No answer holds NaN or infinity."""

from __future__ import annotations

import numpy as np

from headrace.release.gates.base import Trial, failed, passed, register, unanswerable
from headrace.serving.answer import NOT_FINITE
from headrace.types.gate import GateResult

NAME = "finite"


def finite(trial: Trial) -> GateResult:
    if (without := unanswerable(NAME, trial)) is not None:
        return without
    for row, asked in zip(trial.rows, trial.candidate(), strict=True):
        if asked.error is not None and NOT_FINITE in asked.error.message:
            return failed(NAME, f"{row.named()}: {asked.error.message}", row)
        for name, array in asked.outputs.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                return failed(NAME, f"{row.named()}: output {name!r} holds NaN or infinity", row)
    return passed(NAME, f"{len(trial.rows)} answers without NaN or infinity")


register(NAME, finite)
