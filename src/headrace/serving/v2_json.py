"""The values of a V2 tensor in JSON: nested or flat, row by row.

Called by v2.py. Decides that nested lists must agree with the shape. Ignores names and datatypes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from headrace.serving.codec import BRACKETS, bad_json, describe, element, to_array
from headrace.serving.runtimes.base import Array
from headrace.types.errors import BadInput

_OPENS = ord("[")
_NUMBER = b"-0123456789"


def from_json(
    data: msgspec.Raw, sent: np.dtype[Any], dtype: np.dtype[Any], count: int, shape: Sequence[int], field: str
) -> Array:
    """Flat, in the type of the model."""
    values = _values(data, sent, shape, field)
    if len(values) != count:
        raise BadInput(f"data has {len(values)} values; shape {describe(shape)} has {count}", field=field)
    return to_array(values, dtype, field)


def depth_of(data: msgspec.Raw) -> int:
    start = memoryview(data)[:3]
    if len(start) == 3 and start[0] == _OPENS:
        if start[1] in _NUMBER:
            return 1
        if start[1] == _OPENS and start[2] in _NUMBER:
            return 2
    found = BRACKETS.match(data)
    return max(found.group(1).count(b"[") if found else 0, 1)


def _values(data: msgspec.Raw, dtype: np.dtype[Any], shape: Sequence[int], field: str) -> list[Any]:
    """Nested lists are flattened by their depth; their lengths must agree with the shape."""
    depth = depth_of(data)
    if depth not in (1, len(shape)):
        raise BadInput(f"data is nested {depth} deep; shape {describe(shape)} is not", field=field)
    try:
        values = _decoder(dtype, depth).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_json(error, field) from None
    for size in shape[1:] if depth > 1 else ():
        if any(len(inner) != size for inner in values):
            raise BadInput(f"data is nested otherwise than shape {describe(shape)}", field=field)
        values = [value for inner in values for value in inner]
    return values  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def _decoder(dtype: np.dtype[Any], depth: int) -> msgspec.json.Decoder[Any]:
    form: Any = element(dtype)
    for _ in range(depth):
        form = list[form]
    return msgspec.json.Decoder(form)
