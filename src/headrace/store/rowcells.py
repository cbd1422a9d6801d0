"""From columns of a file to the arrays that a model takes; what does not fit is named, row by row.

Called by batch with the columns that plan.py chose. Decides when a cell is a value of a datatype: text of a CSV is read
as a number; nothing, NaN and what the datatype cannot hold are not. Ignores what the values mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.store.rowfile import Rows
from headrace.types.model import Datatype

Array = np.ndarray[Any, np.dtype[Any]]
Bad = dict[int, str]  # why, by the row's number within the block

ARROW: dict[Datatype, pa.DataType] = {
    Datatype.BOOL: pa.bool_(),
    Datatype.UINT8: pa.uint8(),
    Datatype.UINT16: pa.uint16(),
    Datatype.UINT32: pa.uint32(),
    Datatype.UINT64: pa.uint64(),
    Datatype.INT8: pa.int8(),
    Datatype.INT16: pa.int16(),
    Datatype.INT32: pa.int32(),
    Datatype.INT64: pa.int64(),
    Datatype.FP16: pa.float32(),  # what a half cannot hold, the server refuses
    Datatype.BF16: pa.float32(),
    Datatype.FP32: pa.float32(),
    Datatype.FP64: pa.float64(),
    Datatype.BYTES: pa.string(),
}
_TRUE, _FALSE = ("true", "1", "1.0"), ("false", "0", "0.0")
_SHOWN = 40


def column_values(rows: Rows, name: str, datatype: Datatype) -> tuple[Array, Bad]:
    """One value a row. A row in `Bad` has a value that means nothing in the array."""
    if name not in rows.columns:
        return _filler(rows.count, datatype), dict.fromkeys(range(rows.count), f"{name} is missing")
    column = rows.table.column(name).combine_chunks()
    if datatype is Datatype.BYTES:
        return _texts(column, name)
    fast = _fast(column, datatype)
    return (fast, {}) if fast is not None else _slow(column, name, datatype)


def stacked_values(rows: Rows, names: Sequence[str], datatype: Datatype) -> tuple[Array, Bad]:
    """A vector a row, from as many columns."""
    bad: Bad = {}
    columns = []
    for name in names:
        values, more = column_values(rows, name, datatype)
        columns.append(values)
        bad = more | bad  # the first column that does not fit is the one that is named
    return np.stack(columns, axis=1), bad


def nested_values(rows: Rows, name: str, datatype: Datatype, tail: Sequence[int]) -> tuple[Array, Bad]:
    """A vector, matrix, … a row, from one column of lists. `tail` may have -1; the block then agrees on one shape."""
    column = rows.table.column(name).combine_chunks()
    if (fast := _fast_lists(column, datatype, tail)) is not None:
        return fast, {}
    fits = _reader(datatype)
    found: list[Any] = []
    bad: Bad = {}
    shape: tuple[int, ...] | None = None
    for i, value in enumerate(column.to_pylist()):
        read = _nest(value, tail, name, fits)
        if not isinstance(read, str) and shape not in (None, np.shape(read)):
            read = f"{name} has shape {list(np.shape(read))}, the rows before it {list(shape or ())}"
        if isinstance(read, str):
            bad[i] = read
        else:
            shape = np.shape(read)
        found.append(read)
    shape = shape or tuple(max(size, 1) for size in tail)
    blank = np.broadcast_to(_filler(1, datatype), shape).tolist()
    return np.array([blank if i in bad else v for i, v in enumerate(found)], _dtype(datatype)), bad


def _dtype(datatype: Datatype) -> np.dtype[Any]:
    return np.dtype(object) if datatype is Datatype.BYTES else np.dtype(ARROW[datatype].to_pandas_dtype())


def _filler(count: int, datatype: Datatype) -> Array:
    return np.full(count, "", object) if datatype is Datatype.BYTES else np.zeros(count, _dtype(datatype))


def _fast(column: pa.Array, datatype: Datatype) -> Array | None:
    """The usual case, in a few vector steps. None when any cell is not as it should be."""
    if column.null_count:
        return None
    try:
        values: Array = pc.cast(column, ARROW[datatype]).to_numpy(zero_copy_only=False)
    except (pa.lib.ArrowInvalid, pa.lib.ArrowNotImplementedError):
        return None
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return None
    return values


def _fast_lists(column: pa.Array, datatype: Datatype, tail: Sequence[int]) -> Array | None:
    kind = column.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not lists or len(tail) != 1 or not len(column) or column.null_count or datatype is Datatype.BYTES:
        return None
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    if (lengths != lengths[0]).any() or lengths[0] == 0 or tail[0] not in (-1, lengths[0]):
        return None
    values = _fast(column.flatten(), datatype)
    return None if values is None else values.reshape(len(column), lengths[0])


def _slow(column: pa.Array, name: str, datatype: Datatype) -> tuple[Array, Bad]:
    fits = _reader(datatype)
    values, bad = _filler(len(column), datatype), {}
    for i, value in enumerate(column.to_pylist()):
        read = fits(value)
        if isinstance(read, str):
            bad[i] = f"{name} is {read}"
        else:
            values[i] = read
    return values, bad


def _texts(column: pa.Array, name: str) -> tuple[Array, Bad]:
    values, bad = _filler(len(column), Datatype.BYTES), {}
    for i, value in enumerate(column.to_pylist()):
        if isinstance(value, str):
            values[i] = value
        else:
            bad[i] = f"{name} is {'missing' if value is None else _shown(value) + ', not text'}"
    return values, bad


def _nest(value: Any, tail: Sequence[int], name: str, fits: Callable[[Any], Any]) -> Any:
    """Nested lists of values, or in words why it is none."""
    if not tail:
        read = fits(value)
        return f"{name} is {read}" if isinstance(read, str) else read
    if not isinstance(value, list):
        return f"{name} is {'missing' if value is None else _shown(value) + ', not a list'}"
    if tail[0] not in (-1, len(value)):
        return f"{name} has {len(value)} values, the model takes {tail[0]}"
    nest = [_nest(item, tail[1:], name, fits) for item in value]
    return next((item for item in nest if isinstance(item, str)), nest)


def _reader(datatype: Datatype) -> Callable[[Any], Any]:
    """Takes a cell; gives a number, or what is wrong as text."""
    kind = _dtype(datatype)
    if kind.kind == "b":
        return _flag
    if kind.kind == "f":
        return lambda value: _float(value, float(np.finfo(kind).max), kind.name)
    limits = np.iinfo(kind)
    return lambda value: _int(value, int(limits.min), int(limits.max), kind.name)


def _float(value: Any, most: float, kind: str) -> float | str:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return _no_number(value)
    if not math.isfinite(number):
        return f"{_shown(value)}: JSON has no such number"
    return number if abs(number) <= most else f"{_shown(value)}, which does not fit {kind}"


def _int(value: Any, low: int, high: int, kind: str) -> int | str:
    try:
        number = int(value)
        if isinstance(value, float) and number != value:
            return f"{_shown(value)}, not a whole number"
    except (TypeError, ValueError, OverflowError):
        try:
            number = int(float(value))
            if number != float(value):
                return f"{_shown(value)}, not a whole number"
        except (TypeError, ValueError, OverflowError):
            return _no_number(value)
    return number if low <= number <= high else f"{_shown(value)}, which does not fit {kind}"


def _flag(value: Any) -> bool | str:
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    return _no_number(value).replace("a number", "true or false")


def _no_number(value: Any) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        return "missing"
    return f"{_shown(value)}, not a number"


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
