"""Rows to prove a model on: from the model's example and from captured traffic to arrays of the signature's types.

Called by convert, in the child. Pure. Decides which rows fit the signature; one that does not is left out and counted.
Ignores what the values mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.types.model import Datatype, Layout, Signature, TensorSpec

Array = NDArray[Any]
Table = dict[str, Array]

DTYPES: dict[Datatype, np.dtype[Any]] = {
    Datatype.BOOL: np.dtype(np.bool_),
    Datatype.BYTES: np.dtype(object),
    Datatype.FP16: np.dtype(np.float16),
    Datatype.FP32: np.dtype(np.float32),
    Datatype.FP64: np.dtype(np.float64),
    **{Datatype(f"INT{bits}"): np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{Datatype(f"UINT{bits}"): np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
}


def rows_of(table: Mapping[str, Array]) -> int:
    return len(next(iter(table.values()))) if table else 0


def take(table: Mapping[str, Array], index: Any) -> Table:
    return {name: array[index] for name, array in table.items()}


def join(tables: Iterable[Mapping[str, Array]]) -> Table:
    """One below the other; empty ones do not count."""
    full = [table for table in tables if rows_of(table)]
    return {name: np.concatenate([table[name] for table in full]) for name in full[0]} if full else {}


def from_example(found: Mapping[str, Array], signature: Signature) -> Table:
    """The example in the signature's types; a single row without its batch dimension gets one. Empty if it cannot."""
    table: Table = {}
    for spec in signature.inputs:
        array = found.get(spec.name)
        array = None if array is None else _cast(array[None] if array.ndim == len(spec.shape) - 1 else array, spec)
        if array is None:
            return {}
        table[spec.name] = array
    return table if len({len(array) for array in table.values()}) == 1 else {}


def from_json(rows: Sequence[Any], signature: Signature) -> tuple[Table, int]:
    """Captured rows, each a JSON value: a list, or an object by input or column name. Second: how many do not fit."""
    tables = [one for row in rows if (one := _one(row, signature))]
    return join(tables), len(rows) - len(tables)


def finite(table: Mapping[str, Array]) -> Table:
    """Without the rows that hold a NaN or an infinity: JSON has neither, and most models refuse them."""
    if not table:
        return {}
    good = np.ones(rows_of(table), dtype=bool)
    for array in table.values():
        if array.dtype.kind == "f":
            good &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
    return take(table, good)


def _one(row: Any, signature: Signature) -> Table:
    names = [spec.name for spec in signature.inputs]
    if isinstance(row, dict):
        values = row
    elif signature.layout is Layout.COLUMNS and isinstance(row, list) and len(row) == len(names):
        values = dict(zip(names, row, strict=True))
    elif len(names) == 1:
        values = {names[0]: row}
    else:
        return {}
    table: Table = {}
    for spec in signature.inputs:
        array = _row(values[spec.name], spec) if spec.name in values else None
        if array is None:
            return {}
        table[spec.name] = array
    return table


def _row(value: Any, spec: TensorSpec) -> Array | None:
    try:
        return _cast(np.asarray([value]), spec)
    except ValueError:  # ragged
        return None


def _cast(array: Array, spec: TensorSpec) -> Array | None:
    """In the signature's type, or None when that would change a value or the shape is another."""
    dtype = DTYPES[spec.datatype]
    if array.ndim != len(spec.shape) or any(w not in (-1, h) for w, h in zip(spec.shape, array.shape, strict=True)):
        return None
    if dtype.kind == "O":
        return array.astype(object) if all(isinstance(value, str) for value in array.flat) else None
    if array.dtype.kind not in "biuf" or (dtype.kind == "b") != (array.dtype.kind == "b"):
        return None
    with np.errstate(invalid="ignore", over="ignore"):  # a value that does not fit is told by the comparison below
        cast = array.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(cast, array):
        return None
    return cast
