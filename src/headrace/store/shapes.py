"""Which JSON texts of a column are lists of one entry: told from their brackets, without parsing any.

Called by lines.py. A text whose only two `[` and `]` are its first and last two signs is a list of one list; whose only
`{` and `}` are its second and its last but one, a list of one object; without comma and inner bracket, of one scalar.
Of any other text nothing is said: it must be parsed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Flags = np.ndarray[Any, np.dtype[np.bool_]]
_SPACE = np.isin(np.arange(256), np.frombuffer(b" \t\r\n", np.uint8))


class Shapes:
    def __init__(self, column: pa.StringArray) -> None:
        """A null is as an empty text."""
        self._column = column
        _, offsets, data = column.buffers()
        self._at = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
        self._data = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
        self._long = np.diff(self._at)
        self.lists = self._is(0, "[")

    def nested(self) -> Flags:
        """Lists of one list or object."""
        brackets = self._framed("[[", "]]") & self._has("[", 2) & self._has("]", 2)
        braces = self._framed("[{", "}]") & self._has("{", 1) & self._has("}", 1)
        return (self._long >= 4) & (brackets | braces)

    def scalars(self) -> Flags:
        """Lists that begin with a scalar: it is the only one, or there are more."""
        return (
            (self._long >= 3) & self.lists & self._bare(1) & ~self._is(1, "[") & ~self._is(1, "{") & ~self._is(1, "]")
        )

    def scalar(self) -> Flags:
        """Lists of one scalar."""
        alone = self._has("[", 1) & self._has("]", 1) & self._has(",", 0)
        return (self._long >= 3) & self.lists & self._is(-1, "]") & alone & self._bare(1) & self._bare(-2)

    def opened(self, which: Flags) -> pa.StringArray:
        """The entry of `which`, the others as they are."""
        if not which.any():
            return self._column
        inner = pc.binary_slice(self._column.view(pa.binary()), 1, -1).view(pa.string())
        return inner if which.all() else pc.if_else(pa.array(which), inner, self._column)

    def _framed(self, start: str, end: str) -> Flags:
        return self._is(0, start[0]) & self._is(1, start[1]) & self._is(-2, end[0]) & self._is(-1, end[1])

    def _is(self, place: int, sign: str) -> Flags:
        return np.asarray(self._signs(place) == ord(sign))

    def _bare(self, place: int) -> Flags:
        return np.asarray(~_SPACE[self._signs(place)])

    def _signs(self, place: int) -> Any:
        """The byte at a place from the start or the end; of a text that is too short any other."""
        if not len(self._data):
            return np.zeros(len(self._long), np.uint8)
        where = self._at[:-1] + place if place >= 0 else self._at[1:] + place
        return self._data[np.clip(where, 0, len(self._data) - 1)]

    def _has(self, sign: str, count: int) -> Flags:
        where = np.flatnonzero(self._data == ord(sign))
        return np.asarray(np.diff(np.searchsorted(where, self._at)) == count)
