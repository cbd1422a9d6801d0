"""The reading end: what was appended since the last time, by all data planes, in the order of each.

Called by the control plane's consumers, each with its own Reader and its own kept Position. Cheap when nothing is new
(two opens and one read per plane), so it can be polled several times a second. Decides where a reader stands. Ignores
the archive, except that a segment which is gone before it was read is counted in `skipped`; Archive.turn(keep=…) holds
segments back so that this does not happen. Lines that are no record are counted in `torn`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from headrace.store.journal.records import BadLine, Record, RowLine, decode, decode_row
from headrace.store.journal.segments import (
    BLOCK,
    floor,
    next_number,
    numbers,
    open_segment,
    planes,
    read_lines,
)
from headrace.types.journal import Position

T = TypeVar("T")


class Reader:
    def __init__(
        self, folder: Path, position: Position | None = None, *, begins: bytes = b"", holds: bytes = b""
    ) -> None:
        """Without a position: from the oldest segment that is still there. `begins`, `holds`: only lines
        that begin so, and have this in them, are parsed and given; the others are only passed over."""
        self.torn = 0
        self.skipped = 0  # segments
        self._folder = folder
        self._begins, self._holds = begins, holds
        self._offsets = dict(position.offsets) if position else {}
        self._first = 0  # which plane comes first: turns, so that a busy plane does not starve the others

    @property
    def position(self) -> Position:
        """Where the next read starts. Keep it in the transaction that keeps what was made of the records."""
        return Position(offsets=dict(self._offsets))

    def read(self, limit: int = 5000) -> list[Record]:
        """At most `limit` records, those of one plane in their order; fewer, or none, when there are no more yet."""
        return self._read(decode, limit)

    def rows(self, limit: int = 5000) -> list[RowLine]:
        """As `read`, a third of its work: inputs, outputs and values stay JSON text."""
        return self._read(decode_row, limit)

    def _read(self, parse: Callable[[bytes], T], limit: int) -> list[T]:
        found: list[T] = []
        names = planes(self._folder)
        for index in range(len(names)):
            if len(found) >= limit:
                break
            self._read_plane(names[(self._first + index) % len(names)], parse, found, limit)
        self._first += 1
        return found

    def _read_plane(self, plane: str, parse: Callable[[bytes], T], found: list[T], limit: int) -> None:
        folder = self._folder / plane
        number, offset = self._offsets.get(plane) or (floor(folder) + 1, 0)
        block = BLOCK >> 4
        while len(found) < limit:
            with open_segment(folder, number) as view:
                if view is None:
                    later = next_number(folder, number)
                    if later is None:
                        break
                    self.skipped += later - number
                    number, offset = later, 0
                    continue
                chunk = read_lines(view, offset, limit=limit - len(found), block=block)
            offset += chunk.size
            self.torn += chunk.torn
            self._parse(chunk.lines, parse, found)
            if chunk.size:
                block = BLOCK
            elif view.sealed:
                number, offset = number + 1, 0
            else:
                break
        self._offsets[plane] = (number, offset)

    def _parse(self, lines: list[bytes], parse: Callable[[bytes], T], found: list[T]) -> None:
        for line in lines:
            if not line.startswith(self._begins) or self._holds not in line:
                continue
            try:
                found.append(parse(line))
            except BadLine:
                self.torn += 1


def start_position(folder: Path) -> Position:
    """Behind all that is there now. A plane that appears later is read from its start."""
    return Position(offsets={plane: _end(folder / plane) for plane in planes(folder)})


def earliest(positions: Iterable[Position]) -> Position:
    """Up to where all have read: what Archive.turn needs as `keep`. A plane that one has not seen yet is kept whole."""
    every = [position.offsets for position in positions]
    names = {plane for offsets in every for plane in offsets}
    return Position(offsets={plane: min(offsets.get(plane, (0, 0)) for offsets in every) for plane in names})


def _end(folder: Path) -> tuple[int, int]:
    found = numbers(folder)
    number = found[-1] if found else floor(folder) + 1
    offset = 0
    while True:
        with open_segment(folder, number) as view:
            if view is None:
                return number, offset
            if view.sealed:
                number, offset = number + 1, 0
                continue
            chunk = read_lines(view, offset, limit=1 << 30, block=BLOCK)
        if not chunk.size:
            return number, offset
        offset += chunk.size
