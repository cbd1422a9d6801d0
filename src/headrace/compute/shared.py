"""Memory that two processes see, for messages too large to push through a socket.

Called by host.py (both directions) and by the program in a model host. Decides where blobs lie, that neither side can
shrink the memory under the other (a shrunken file is a SIGBUS in whoever reads it: it is sealed), and that memory
touched by one huge call is given back. Ignores when it is used: that is host.py's threshold.

Each direction has one area; whoever writes it waits for the answer before it writes again.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

SIZE = 1 << 30  # of address space; memory is only taken by what is written
KEEP = 64 << 20  # stays with an area between calls; what lies beyond is given back
_ALIGN = 64  # what vector instructions like
_LEAST = 1 << 20

Blob = bytes | memoryview
Bytes = NDArray[np.uint8]


class Area:
    """Given by its file descriptor, which a child inherits."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map: mmap.mmap | None = None
        self._held: list[mmap.mmap] = []

    def places(self, sizes: Sequence[int]) -> list[Bytes]:
        """Where blobs of these sizes lie: to fill, or to copy from. They stay good when the area is closed."""
        shared = self._mapped(extent(sizes))
        return [np.frombuffer(shared, np.uint8, n, at) for n, at in zip(sizes, _starts(sizes), strict=True)]

    def look(self, sizes: Sequence[int]) -> list[memoryview]:
        """No copy: pages of the other side, private as soon as they are written to. Good until it writes again; see
        `let_go`."""
        private = mmap.mmap(self.fd, _length(extent(sizes)), access=mmap.ACCESS_COPY)
        self._held.append(private)
        view = memoryview(private)
        return [view[at : at + n] for n, at in zip(sizes, _starts(sizes), strict=True)]

    def let_go(self) -> bool:
        """Close what nobody looks at any more. False while somebody does: then the other side must not write here."""
        held = []
        for private in self._held:
            try:
                private.close()
            except BufferError:
                held.append(private)
        self._held = held
        return not held

    def trim(self) -> None:
        if self._map is not None and len(self._map) > KEEP:
            self._map.madvise(mmap.MADV_REMOVE, KEEP, len(self._map) - KEEP)

    def close(self) -> None:
        self._map = None
        fd, self.fd = self.fd, -1
        os.close(fd)

    def _mapped(self, size: int) -> mmap.mmap:
        if self._map is None or len(self._map) < size:
            self._map = mmap.mmap(self.fd, _length(size))
        return self._map


def fill(places: Sequence[Bytes], blobs: Sequence[Blob]) -> None:
    """Without the interpreter's lock, so that a thread may do it beside the event loop."""
    for place, blob in zip(places, blobs, strict=True):
        if len(blob):
            np.copyto(place, np.frombuffer(blob, np.uint8))


def copies(places: Sequence[Bytes]) -> list[memoryview]:
    """The other side may write again, or scribble into what it wrote."""
    return [place.copy().data for place in places]


def make_area() -> Area | None:
    """None where the system has no sealed memory files."""
    if sys.platform != "linux":
        return None
    import fcntl  # noqa: PLC0415 -- another platform has none

    fd = os.memfd_create("headrace-tensors", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, SIZE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return Area(fd)


def extent(sizes: Sequence[int]) -> int:
    """Bytes that blobs of these sizes take, each at its aligned place."""
    return sum(_aligned(size) for size in sizes)


def _starts(sizes: Sequence[int]) -> list[int]:
    return [0, *accumulate(_aligned(size) for size in sizes)][:-1]


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _length(size: int) -> int:
    """Of a map: doubling, so that growing tensors do not map anew each time."""
    return min(SIZE, max(_LEAST, 1 << (size - 1).bit_length())) if size else _LEAST
