"""Does the converted model answer like the original one? Pure: arrays in, a finding out.

Called by convert for every attempt. Decides: labels (integers, booleans, text) are the same one by one; scores differ
by no more than the tolerance. The tolerance is absolute; for scores in the thousands and above, the rounding of double
precision itself (1e-9 of the value) is allowed on top.

Not a number: NaN equals NaN, an infinity equals the same infinity; anything else beside them is an infinite difference.
Rows *with* NaN or infinity are not asked: JSON cannot carry them, so no request does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TOLERANCE = 1e-4
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`why` is empty when the two answer alike; else it says in words how they differ."""

    why: str
    rows: int
    label_flips: int = 0
    max_difference: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.why


def compare(original: Mapping[str, Array], converted: Mapping[str, Array], *, real: int, tolerance: float) -> Finding:
    """Outputs by name. The first `real` rows are real, those after them sit on split values; `why` tells them apart."""
    rows = len(next(iter(original.values())))
    if list(original) != list(converted):
        return Finding(why=f"outputs are {', '.join(converted)} instead of {', '.join(original)}", rows=rows)
    flipped = np.zeros(rows, dtype=bool)
    apart = np.zeros(rows, dtype=bool)
    largest = 0.0
    for name, expected in original.items():
        given = converted[name]
        if odd := _unlike(name, expected, given):
            return Finding(why=odd, rows=rows)
        if expected.dtype.kind == "f":
            off = difference(expected, given)
            allowed = tolerance + ROUNDING * np.abs(np.nan_to_num(expected, posinf=0.0, neginf=0.0))
            apart |= _per_row(off > allowed)
            largest = max(largest, float(off.max(initial=0.0)))
        else:
            flipped |= _per_row(_plain(expected) != _plain(given))
    why = "; ".join(part for part in (_flips(flipped, real), _scores(apart, real, largest, tolerance)) if part)
    return Finding(why=why, rows=rows, label_flips=int(flipped.sum()), max_difference=largest)


def difference(expected: Array, given: Array) -> Array:
    """Absolute; 0 where both are NaN or the same infinity, infinite where only one is not finite."""
    a, b = np.asarray(expected, dtype=np.float64), np.asarray(given, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(a - b)
    alike = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(alike, 0.0, np.where(np.isfinite(off), off, np.inf))


def _unlike(name: str, expected: Array, given: Array) -> str:
    if expected.shape != given.shape:
        return f"{name} has shape {given.shape} instead of {expected.shape}"
    if _family(expected) != _family(given):
        return f"{name} is {_family(given)} instead of {_family(expected)}"
    return ""


def _family(array: Array) -> str:
    names = {"b": "boolean", "i": "integer", "u": "integer", "f": "float"}
    return names.get(array.dtype.kind, "text")


def _plain(array: Array) -> Array:
    return array.astype(str) if array.dtype.kind in "OUS" else array


def _per_row(wrong: Array) -> Array:
    return np.asarray(wrong.reshape(len(wrong), -1).any(axis=1))


def _flips(flipped: Array, real: int) -> str:
    if not flipped.any():
        return ""
    return f"{flipped.sum()} of {len(flipped)} rows have another label ({_where(flipped, real)})"


def _scores(apart: Array, real: int, largest: float, tolerance: float) -> str:
    if not apart.any():
        return ""
    where = _where(apart, real)
    return f"{apart.sum()} of {len(apart)} rows have scores up to {largest:.3g} apart, {tolerance:g} allowed ({where})"


def _where(wrong: Array, real: int) -> str:
    return f"{wrong[:real].sum()} real rows, {wrong[real:].sum()} at split values"
