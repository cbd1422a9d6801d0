"""The values of a V2 tensor as bytes: little-endian, row by row; BYTES elements each with a length of four bytes.

Called by v2.py and by api/grpc for raw contents. Large numeric tensors share the memory of the body where it is
aligned. BF16 is carried as float32, which holds every value of it exactly: numpy has no such type of its own. Decides
that NaN and infinity are refused as in JSON: an answer made of them would count as the model's failure.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from headrace.serving.answer import finite
from headrace.serving.codec import DTYPES
from headrace.serving.runtimes.base import Array
from headrace.types.errors import BadInput
from headrace.types.model import Datatype

_SENT = {datatype.value: dtype.newbyteorder("<") for datatype, dtype in DTYPES.items()}
_WIRE = _SENT | {"BF16": np.dtype("<u2"), "BOOL": np.dtype(np.uint8)}
_SHARED = 4096  # bytes; less is copied: cheaper than asking whether it is aligned
_ABSENT: Any = object()
_LENGTH = struct.Struct("<I")


def cut(tensors: Sequence[tuple[str, dict[str, Any]]], blob: memoryview) -> dict[str, memoryview]:
    """The bytes of each tensor that has a `binary_data_size`, in the order in which they are listed."""
    chunks: dict[str, memoryview] = {}
    start = 0
    for name, parameters in tensors:
        size = parameters.get("binary_data_size", _ABSENT)
        if size is _ABSENT:
            continue
        if type(size) is not int or size < 0:
            raise BadInput(f"binary_data_size is {size!r}; allowed: a number of bytes", field=f"inputs.{name}")
        if size > len(blob) - start:
            raise BadInput(
                f"binary_data_size is {size}; {len(blob) - start} bytes are left of the body", field=f"inputs.{name}"
            )
        chunks[name] = blob[start : start + size]
        start += size
    if start != len(blob):
        raise BadInput(f"{len(blob) - start} bytes of the body belong to no tensor", field="inputs")
    return chunks


def from_bytes(blob: memoryview | bytes, datatype: str, count: int, field: str) -> Array:
    """Flat, `count` elements, in the type that was sent (BF16: float32)."""
    if datatype == "BYTES":
        return _texts(blob, count, field)
    wire = _WIRE[datatype]
    if len(blob) != count * wire.itemsize:
        raise BadInput(
            f"it has {len(blob)} bytes; {count} values of {datatype} have {count * wire.itemsize}", field=field
        )
    array: Array = np.frombuffer(blob, dtype=wire)
    if datatype == "BF16":
        array = widened(array)
    elif datatype == "BOOL":
        array = array != 0
    elif len(blob) < _SHARED or not array.flags.aligned:
        array = array.copy()
    all_finite(array, field)
    return array


def all_finite(array: Array, field: str) -> None:
    if array.dtype.kind == "f" and not finite(array):
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise BadInput(f"{bad} of {array.size} values are NaN or infinite", field=field, hint="leave such rows out")


def fitted(array: Array, dtype: np.dtype[Any], field: str) -> Array:
    """In the type of the model; raises BadInput for a number that does not fit."""
    if array.dtype == dtype:
        return array
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError:
        value = float(np.abs(array).max())
        raise BadInput(f"{value!r} does not fit {dtype.name}", field=field) from None


def to_bytes(array: Array, datatype: Datatype) -> bytes | memoryview:
    if datatype is Datatype.BYTES:
        return b"".join(_prefixed(value) for value in array.ravel().tolist())
    if datatype is Datatype.BF16:
        array = narrowed(array)
    wire = _WIRE[datatype.value]
    if array.dtype == wire and array.nbytes < _SHARED:
        return array.tobytes()
    array = np.ascontiguousarray(array, dtype=wire)
    return array.tobytes() if array.nbytes < _SHARED else array.data.cast("B")


def text_of(value: bytes) -> str | bytes:
    """Text where it is text; an image stays bytes."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def widened(array: Array) -> Array:
    """BF16 is the upper half of a float32."""
    return (array.astype("<u4") << 16).view("<f4")


def narrowed(array: Array) -> Array:
    """Rounded to the nearest, ties to even, as hardware does."""
    bits = np.ascontiguousarray(array, dtype="<f4").view("<u4")
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) >> 16).astype("<u2")


def _texts(blob: memoryview | bytes, count: int, field: str) -> Array:
    values: list[str | bytes] = []
    start, end = 0, len(blob)
    while start < end and len(values) < count:
        if end - start < _LENGTH.size:
            raise BadInput(f"text {len(values)} has no whole length", field=field)
        (size,) = _LENGTH.unpack_from(blob, start)
        start += _LENGTH.size
        if size > end - start:
            raise BadInput(f"text {len(values)} has length {size}; {end - start} bytes are left", field=field)
        values.append(text_of(bytes(blob[start : start + size])))
        start += size
    if start != end or len(values) != count:
        raise BadInput(
            f"it has {len(values)} texts and {end - start} more bytes; its shape has {count} texts", field=field
        )
    array = np.empty(count, dtype=object)
    array[:] = values
    return array


def _prefixed(value: Any) -> bytes:
    data = value if isinstance(value, bytes) else str(value).encode()
    return _LENGTH.pack(len(data)) + data
