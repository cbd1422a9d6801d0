"""Every row is answered, with the outputs, types and shapes that the signature promises."""

from __future__ import annotations

import numpy as np

from headrace.release.gates.base import Array, Trial, failed, passed, register, unanswerable
from headrace.serving.answer import NOT_FINITE
from headrace.types.gate import GateResult
from headrace.types.model import Datatype, TensorSpec

NAME = "shapes"


def shapes(trial: Trial) -> GateResult:
    if (without := unanswerable(NAME, trial)) is not None:
        return without
    for row, asked in zip(trial.rows, trial.candidate(), strict=True):
        if asked.error is not None:
            if NOT_FINITE in asked.error.message:
                continue  # the next gate's
            return failed(NAME, f"{row.named()} is not answered: {asked.error.sentence()}", row)
        for spec in trial.signature.outputs:
            if why := _misfit(asked.outputs.get(spec.name), spec):
                return failed(NAME, f"{row.named()}: output {spec.name!r} {why}", row)
    return passed(NAME, f"{len(trial.rows)} rows answered as the signature says")


def _misfit(array: Array | None, spec: TensorSpec) -> str:
    if array is None:
        return "is missing"
    wanted = (1, *spec.shape[1:])
    if array.ndim != len(wanted) or any(w not in (-1, got) for w, got in zip(wanted, array.shape, strict=True)):
        return f"has shape {list(array.shape)}; the signature says {list(spec.shape)} for one row"
    texts = spec.datatype is Datatype.BYTES
    if texts != (array.dtype.kind in "OUS"):
        return f"is {np.dtype(array.dtype).name}; the signature says {spec.datatype.value}"
    return ""


register(NAME, shapes)
