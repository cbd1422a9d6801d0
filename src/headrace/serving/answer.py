"""What a model gave, checked before anyone sees it, and as JSON.

Called by predict.py and the dialects after a run, and by warm.py before a version takes traffic. Decides that an answer
outside the signature is the model's failure (hard evidence in a release): wrong number of rows, wrong type or shape,
NaN or infinity. Ignores whether the answer is any good.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from headrace.serving.codec import describe, dtype_of
from headrace.serving.runtimes.base import Array, Outputs
from headrace.types.errors import ModelFailed
from headrace.types.model import Signature, TensorSpec

NOT_FINITE = "values that are NaN or infinite"  # by these words the gates of a release know it
_FEW = 64  # values; from there on numpy is faster
_encoder = msgspec.json.Encoder()


class Check:
    """Built once per loaded package."""

    def __init__(self, signature: Signature) -> None:
        self._specs = tuple((spec, dtype_of(spec)) for spec in signature.outputs)
        self._usual = tuple((dtype, spec.shape[1:], dtype.kind == "f") for spec, dtype in self._specs)

    def __call__(self, outputs: Outputs, rows: int) -> Outputs:
        """The outputs in the signature's shapes. Raises ModelFailed naming the output."""
        if len(outputs) == len(self._usual):
            for array, (dtype, tail, floats) in zip(outputs, self._usual, strict=True):
                if array.dtype != dtype or array.shape != (rows, *tail) or (floats and not finite(array)):
                    break
            else:
                return outputs  # exactly as the signature says, as nearly always
        return self._closely(outputs, rows)

    def _closely(self, outputs: Outputs, rows: int) -> Outputs:
        """What is not exact may still fit; what does not fit is named."""
        if len(outputs) != len(self._specs):
            raise ModelFailed(f"the model gave {len(outputs)} outputs; its signature has {len(self._specs)}")
        return [_checked(array, *known, rows) for array, known in zip(outputs, self._specs, strict=True)]


def _checked(array: Array, spec: TensorSpec, dtype: np.dtype[Any], rows: int) -> Array:
    if len(spec.shape) == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    shape = array.shape
    if not shape or shape[0] != rows:
        raise ModelFailed(f"output {spec.name!r} has shape {describe(shape)} for {rows} rows", field=spec.name)
    if shape[1:] != spec.shape[1:] and not _same_but_free(shape, spec.shape):
        raise ModelFailed(
            f"output {spec.name!r} has shape {describe(shape)}; its signature says {describe(spec.shape)}",
            field=spec.name,
        )
    kind = array.dtype.kind
    if array.dtype != dtype and not (kind in "US" and dtype.kind == "O") and not _fits(array.dtype, dtype):
        raise ModelFailed(
            f"output {spec.name!r} is {array.dtype.name}; its signature says {spec.datatype.value}", field=spec.name
        )
    if kind == "f" and not finite(array):
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise ModelFailed(f"output {spec.name!r} has {bad} {NOT_FINITE}", field=spec.name)
    return array


def _same_but_free(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(w in (-1, g) for w, g in zip(wanted[1:], shape[1:], strict=True))


def finite(array: Array) -> bool:
    """A sum is finite only if every value is: for a few values Python's sum costs a tenth of isfinite().all(). Large
    values can overflow it, so it only clears; the exact test decides."""
    if array.size <= _FEW and math.isfinite(sum(array.ravel().tolist())):
        return True
    return bool(np.isfinite(array).all())


def _fits(got: np.dtype[Any], declared: np.dtype[Any]) -> bool:
    """int for float is fine, float for int is not; text only for text."""
    if declared.kind == "O" or got.kind == "O":
        return got.kind == declared.kind
    return np.can_cast(got, declared, "same_kind") or got.kind == declared.kind


def to_json(array: Array, spec: TensorSpec) -> bytes:
    """A list with one entry per row."""
    values = array.tolist()
    try:
        return _encoder.encode(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelFailed(f"output {spec.name!r} cannot be written as JSON: {error}", field=spec.name) from error
