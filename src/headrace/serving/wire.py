"""Arrays as frames: what runtimes/hosted.py and host.py say to each other.

Decides that numbers travel as raw little-endian bytes and text as msgpack, and never anything pickled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from headrace.serving.runtimes.base import Array

Tensors = list[dict[str, Any]]
Table = dict[str, Array]


def pack_arrays(arrays: Mapping[str, Array]) -> tuple[Tensors, list[bytes | memoryview]]:
    tensors: Tensors = []
    blobs: list[bytes | memoryview] = []
    for name, array in arrays.items():
        text = array.dtype.kind in "OUS"
        tensors.append({"name": name, "dtype": "text" if text else array.dtype.str, "shape": list(array.shape)})
        if text:
            blobs.append(msgspec.msgpack.encode(array.ravel().tolist()))
        else:
            blobs.append(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return tensors, blobs


def unpack_arrays(tensors: Tensors, blobs: Sequence[memoryview]) -> dict[str, Array]:
    """The arrays share memory with the blobs, which nobody else uses any more."""
    return {
        tensor["name"]: _array(tensor["dtype"], tensor["shape"], blob)
        for tensor, blob in zip(tensors, blobs, strict=True)
    }


def _array(dtype: str, shape: list[int], blob: memoryview) -> Array:
    if dtype != "text":
        return np.frombuffer(blob, dtype=np.dtype(dtype)).reshape(shape)
    array = np.empty(shape, dtype=object)
    array.ravel()[:] = msgspec.msgpack.decode(blob)
    return array
