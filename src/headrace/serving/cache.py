"""Answers that were given before, for the same version and the same inputs. In memory, per data plane.

Called by run.py for endpoints with a cache. Decides what counts as the same (the bytes of the decoded inputs, so that
/predict and V2 share answers), how long an answer is good, and which goes first when it is full: the one not asked for
longest. A new version has keys of its own, so nothing needs to be emptied when it takes over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

import msgspec
import numpy as np

from headrace.serving.runtimes.base import Array, Inputs, Outputs
from headrace.types.endpoint import Cache as Settings

_OVERHEAD = 512  # bytes of an entry beside its arrays
_TEXT = 64  # bytes that a text in an array is taken for, beside its characters


class Cache:
    """`steady` gives seconds."""

    def __init__(self, settings: Settings, steady: Callable[[], float]) -> None:
        self.settings = settings
        self.size = 0  # bytes
        self._steady = steady
        self._entries: OrderedDict[bytes, tuple[float, int, Outputs]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def configure(self, settings: Settings) -> None:
        self.settings = settings
        self._shrink()

    def get(self, key: bytes) -> Outputs | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        since, size, outputs = entry
        if self._steady() - since >= self.settings.ttl_seconds:
            del self._entries[key]
            self.size -= size
            return None
        self._entries.move_to_end(key)
        return outputs

    def put(self, key: bytes, outputs: Outputs) -> None:
        """Copies: an output may be a part of a larger batch, which it would keep alive."""
        kept = [output.copy() for output in outputs]
        size = _OVERHEAD + sum(_bytes(output) for output in kept)
        if size > self.settings.size_mb << 20:
            return
        if (old := self._entries.pop(key, None)) is not None:
            self.size -= old[1]
        self._entries[key] = (self._steady(), size, kept)
        self.size += size
        self._shrink()

    def _shrink(self) -> None:
        while self.size > self.settings.size_mb << 20:
            _, (_, size, _) = self._entries.popitem(last=False)
            self.size -= size


def key_of(package_id: str, inputs: Inputs) -> bytes:
    """16 bytes of BLAKE2b over the version and every input's name, type, shape and content."""
    digest = blake2b(package_id.encode(), digest_size=16)
    arrays = {"": inputs.matrix} if inputs.matrix is not None else inputs.arrays
    for name, array in arrays.items():
        digest.update(msgspec.msgpack.encode((name, array.dtype.str, array.shape)))
        if array.dtype.kind == "O":
            digest.update(msgspec.msgpack.encode(array.tolist()))
        else:
            digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def _bytes(array: Array) -> int:
    if array.dtype.kind != "O":
        return int(array.nbytes)
    return sum(_TEXT + len(str(value)) for value in array.flat)
