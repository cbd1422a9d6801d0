"""A row's answer does not depend on its company: the same alone and among others.

Models quantised on the fly do depend on it (measured: 2 of 512 labels flipped between one row and 512).
"""

from __future__ import annotations

from headrace.release.gates.alike import differing
from headrace.release.gates.base import Trial, failed, passed, register, skipped, unanswerable
from headrace.types.gate import GateResult

NAME = "batch"
MOST = 32  # rows in one call


def batch(trial: Trial) -> GateResult:
    if (without := unanswerable(NAME, trial)) is not None:
        return without
    alone = [(row, asked) for row, asked in zip(trial.rows, trial.candidate(), strict=True) if not asked.error][:MOST]
    rows = tuple(row for row, _ in alone)
    if len(rows) < 2:
        return skipped(NAME, "fewer than two rows")
    together = trial.together(rows)
    if together.error is not None:
        return failed(NAME, f"{len(rows)} rows in one call are not answered: {together.error.sentence()}", rows[0])
    for index, (row, asked) in enumerate(alone):
        mine = {name: array[index : index + 1] for name, array in together.outputs.items()}
        if why := differing(asked.outputs, mine, trial.signature.outputs):
            return failed(NAME, f"{row.named()} gets another answer among {len(rows)} rows than alone: {why}", row)
    return passed(NAME, f"{len(rows)} rows answered together as alone")


register(NAME, batch)
