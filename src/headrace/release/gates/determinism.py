"""The same row gets the same answer when it is asked again. The response cache is not asked: gates go past it."""

from __future__ import annotations

from headrace.release.gates.alike import differing
from headrace.release.gates.base import Trial, failed, passed, register, unanswerable
from headrace.types.gate import GateResult

NAME = "determinism"
AGAIN = 8  # rows


def determinism(trial: Trial) -> GateResult:
    if (without := unanswerable(NAME, trial)) is not None:
        return without
    asked_before = [(row, asked) for row, asked in zip(trial.rows, trial.candidate(), strict=True) if not asked.error]
    for row, before in asked_before[:AGAIN]:
        after = trial.again(row)
        if after.error is not None:
            return failed(NAME, f"{row.named()} was answered once, and then not: {after.error.sentence()}", row)
        if why := differing(before.outputs, after.outputs, trial.signature.outputs):
            return failed(NAME, f"{row.named()} got two answers: {why}", row)
    return passed(NAME, f"{min(AGAIN, len(asked_before))} rows got the same answer twice")


register(NAME, determinism)
