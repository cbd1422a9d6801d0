"""Rows whose right answer is known get it: a file of examples that no release may break."""

from __future__ import annotations

from typing import Any

import numpy as np

from headrace.release.gates.alike import TOLERANCES, shown
from headrace.release.gates.base import Array, Row, Trial, failed, passed, register, skipped
from headrace.types.errors import BadInput
from headrace.types.gate import GateResult
from headrace.types.model import Datatype

NAME = "answers"
TOGETHER = 32  # rows in one call


def answers(trial: Trial) -> GateResult:
    if not trial.wanted.answers:
        return skipped(NAME, "no file of known answers is set")
    if trial.silent:
        return skipped(NAME, trial.silent)
    try:
        rows = trial.answers()
    except BadInput as error:
        return failed(NAME, f"{trial.wanted.answers!r} cannot be used: {error.sentence()}")
    output = trial.signature.outputs[0]
    wrong: list[tuple[Row, str]] = []
    for start in range(0, len(rows), TOGETHER):
        part = rows[start : start + TOGETHER]
        asked = trial.together(part)
        if asked.error is not None:
            return failed(
                NAME, f"{part[0].named()} and those after it are not answered: {asked.error.message}", part[0]
            )
        given = asked.outputs[output.name]
        wrong += [
            (row, shown(given[i : i + 1]))
            for i, row in enumerate(part)
            if not right(given[i], row.expected, output.datatype)
        ]
    share = 1 - len(wrong) / len(rows)
    told = f"{len(rows) - len(wrong)} of {len(rows)} known answers are right"
    if share >= trial.wanted.min_right:
        return passed(NAME, told)
    row, said = wrong[0]
    return failed(
        NAME, f"{told}, {trial.wanted.min_right:.4g} of them must be; {row.named()}: {said}, not {row.expected!r}", row
    )


def right(given: Array, expected: Any, datatype: Datatype) -> bool:
    """7, [7] and "7" are the same label; numbers may differ by what their type cannot hold."""
    while isinstance(expected, list) and len(expected) == 1:
        expected = expected[0]
    value = np.asarray(given)
    if value.size == 1:
        value = value.reshape(())
    if datatype not in TOLERANCES:
        return bool(value.tolist() == expected) or str(value.tolist()) == str(expected)
    relative, absolute = TOLERANCES[datatype]
    try:
        wanted = np.asarray(expected, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return value.shape == wanted.shape and bool(np.allclose(value, wanted, rtol=relative, atol=absolute))


register(NAME, answers)
