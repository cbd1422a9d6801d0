"""A tensor in another datatype, or not at all: no value changes its meaning in silence.

Called by adapt.py for the steps of an adapter. Decides what fits: a fraction is no whole number, 300 is no UINT8, a
text is a number only if it reads as one. Rounding to fewer digits (FP64 to FP32) is what a cast is for, so it fits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from headrace.serving.codec import DTYPES
from headrace.serving.runtimes.base import Array
from headrace.types.model import Datatype

_SHOWN = 40  # characters of a value


class Misfit(ValueError):
    """A value that cannot become what it should; the message names the row."""


def castable(given: Datatype, wanted: Datatype) -> bool:
    """Whether any value could. Text is no truth value: there are too many ways to say yes."""
    return not (given is Datatype.BYTES and wanted is Datatype.BOOL)


def cast(array: Array, wanted: Datatype) -> Array:
    """Raises Misfit."""
    dtype = DTYPES[wanted]
    if array.dtype == dtype:
        return array
    if dtype.kind == "O":
        return _texts(array)
    if array.dtype.kind == "O":
        array = _read(array, whole=dtype.kind in "iu")
    if dtype.kind == "b":
        _require(array, (array == 0) | (array == 1), "is neither 0 nor 1")
        truth: Array = array != 0
        return truth
    if dtype.kind in "iu":
        return _whole(array, dtype)
    with np.errstate(over="ignore"):
        made = array.astype(dtype)
    if made.dtype.itemsize < array.dtype.itemsize:
        _require(array, np.isfinite(made), f"does not fit {wanted.value}")
    return made


def _whole(array: Array, dtype: np.dtype[Any]) -> Array:
    limits = np.iinfo(dtype)
    if array.dtype.kind == "f":
        _require(array, np.isfinite(array) & (np.trunc(array) == array), "is no whole number")
        # As doubles, both ends of 64 bits are powers of two: the upper one itself does not fit any more.
        fits = (array >= float(limits.min)) & (array < float(limits.max) + (limits.bits < 64))
    elif array.dtype.kind == "O":  # Python's own whole numbers, of any size
        fits = np.array([limits.min <= value <= limits.max for value in array.flat], dtype=bool).reshape(array.shape)
    elif np.can_cast(array.dtype, dtype, "safe"):
        return array.astype(dtype)
    else:
        fits = (array >= limits.min) & (array <= limits.max)
    _require(array, fits, f"does not fit {dtype.name}")
    return array.astype(dtype)


def _read(array: Array, *, whole: bool) -> Array:
    """Numbers out of texts."""
    made = np.empty(array.size, dtype=object if whole else np.float64)
    for place, value in enumerate(array.flat):
        try:
            made[place] = int(value) if whole else float(value)
        except ValueError:
            raise Misfit(f"{_row(array, place)} is {_shown(value)}, which is no number") from None
    return made.reshape(array.shape)


def _texts(array: Array) -> Array:
    made = np.empty(array.shape, dtype=object)
    made[...] = np.array([_text(value) for value in array.ravel().tolist()], dtype=object).reshape(array.shape)
    return made


def _text(value: Any) -> str:
    """As JSON writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _require(array: Array, fits: Array, what: str) -> None:
    if not fits.all():
        place = int(np.argmin(fits.ravel()))
        raise Misfit(f"{_row(array, place)} is {_shown(array.flat[place])}, which {what}")


def _row(array: Array, place: int) -> str:
    where = np.unravel_index(place, array.shape)
    rest = "".join(f"[{int(index)}]" for index in where[1:])
    return f"row {int(where[0])}{rest}"


def _shown(value: Any) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
