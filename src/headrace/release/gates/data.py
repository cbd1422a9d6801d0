"""The rows at hand fit what the candidate takes: traffic of yesterday would not be refused tomorrow."""

from __future__ import annotations

from headrace.release.gates.base import Trial, failed, passed, register, skipped
from headrace.types.gate import GateResult

NAME = "data"


def data(trial: Trial) -> GateResult:
    if trial.misfits:
        more = f", and {len(trial.misfits) - 1} more" if len(trial.misfits) > 1 else ""
        return failed(NAME, f"{trial.misfits[0]}{more}")
    if not trial.rows:
        return skipped(NAME, "no rows: nothing was captured, and the version brings none of its own")
    return passed(NAME, f"{len(trial.rows)} rows fit the signature")


register(NAME, data)
