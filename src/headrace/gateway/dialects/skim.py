"""Events that are passed on before they are read: read later, many at once, in one decoding.

Used by the followers of forms in which most events are words and no more. To read each event in the moment in which it
comes costs several times as much: all code for it has left the processor's caches since the one before. Decides what
is surely an event of one line. Ignores what it says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import msgspec

from headrace.gateway.dialects.base import Told

MOST_EVENTS = 64  # that wait to be read
MOST_BYTES = 64 * 1024

T = TypeVar("T")


class Skim(Generic[T]):
    """`lead`: the lines that such an event begins with, to the place where its JSON stands. `sure`: each event must
    have one of these in it. `full`: that is enough, `read` them."""

    __slots__ = (
        "_between",
        "_blocks",
        "_decoder",
        "_first",
        "_lead",
        "_lines",
        "_more",
        "_size",
        "_sure",
        "full",
        "waiting",
    )

    def __init__(
        self, decoder: msgspec.json.Decoder[list[T]], lead: bytes = b"data: ", *, sure: tuple[bytes, ...] = ()
    ) -> None:
        self.waiting = 0  # events
        self.full = False
        self._blocks: list[bytes] = []
        self._size = 0
        self._decoder = decoder
        self._lead = len(lead)
        self._lines = lead.count(b"\n") + 2  # line breaks of an event, with the empty line after it
        self._between = b"\n\n" + lead
        self._first, self._more = lead + b"{", self._between + b"{"
        self._sure = sure

    def take(self, block: bytes) -> bool:
        """False: not all of these events may pass unread, and none was noted. Quotes inside of texts have a backslash
        before them, so that bytes such as these are names."""
        events = block.count(self._more) + 1
        if not block.startswith(self._first) or block.count(b"\n") != events * self._lines or b'"error"' in block:
            return False
        if self._sure:
            found = 0
            for name in self._sure:
                found += block.count(name)
            if found < events:
                return False
        self._blocks.append(block[self._lead : -2])
        self.waiting += events
        self._size += len(block)
        self.full = self.waiting >= MOST_EVENTS or self._size >= MOST_BYTES
        return True

    def read(self) -> tuple[list[T], list[bytes]]:
        """In order; or, when something among them is not as it should be, their data unread."""
        joined, waiting = self._between.join(self._blocks), self.waiting
        self._blocks, self.waiting, self._size, self.full = [], 0, 0, False
        try:
            found = self._decoder.decode(b"[%b]" % joined.replace(self._between, b","))
        except (msgspec.DecodeError, UnicodeDecodeError):
            found = []
        return (found, []) if len(found) == waiting else ([], joined.split(self._between))


class Skimming(ABC, Generic[T]):
    """What followers that skim have in common. `one` and `many` decode an event's data and a list of them."""

    __slots__ = ("_one", "_skim", "_told")

    def __init__(
        self,
        one: msgspec.json.Decoder[T],
        many: msgspec.json.Decoder[list[T]],
        lead: bytes = b"data: ",
        *,
        sure: tuple[bytes, ...] = (),
    ) -> None:
        self._told = Told()
        self._one = one
        self._skim = Skim(many, lead, sure=sure)

    @property
    def told(self) -> Told:
        if self._skim.waiting:
            self._catch_up()
        return self._told

    def skim(self, block: bytes) -> bool:
        if not self._skim.take(block):
            return False
        if self._skim.full:
            self._catch_up()
        return True

    def read(self, data: bytes) -> T | None:
        """One event, after all that wait."""
        read = self.told.read(self._one, data)
        if read is not None:
            self.note(read)
        return read

    @abstractmethod
    def note(self, read: T) -> None:
        """What it says goes into `_told`."""

    def _catch_up(self) -> None:
        events, left = self._skim.read()
        for event in events:
            self.note(event)
        for data in left:
            self.read(data)
