"""A stream on its way: bytes of an upstream in, bytes for the caller out, and what it says of itself.

Called by reach.py for the first event and by relay.py for all others. In one form it goes through as it came, event by
event, but for a usage that only we asked for; in two it is translated. `told` knows of all that has passed.
"""

from __future__ import annotations

from headrace.gateway.crossing import Crossing
from headrace.gateway.dialects.base import Asked, Dialect, Told
from headrace.gateway.sse import Event, Frames


class Course:
    __slots__ = ("_cross", "_follower", "_frames", "_skim", "seen")

    def __init__(self, theirs: Dialect, asked: Asked, cross: Crossing | None) -> None:
        self.seen = False  # an event with data has come
        self._frames = Frames()
        self._follower = theirs.follow(asked)
        self._cross = cross
        self._skim = self._follower.skim if cross is None else None

    @property
    def told(self) -> Told:
        return self._follower.told

    def feed(self, piece: bytes) -> bytes:
        """Most events are words and no more: in one form they pass without being looked at one by one."""
        skim, frames = self._skim, self._frames
        if skim is not None and frames.between and piece.endswith(b"\n\n") and b"\r" not in piece and skim(piece):
            self.seen = True
            return piece
        if skim is None or (block := frames.block(piece)) is None:
            return self._out(frames.feed(piece))
        if block and skim(block):
            self.seen = True
            return block
        return self._out(frames.events(block)) if block else b""

    def rest(self) -> bytes:
        """At its end: an event that lacks its last line break, and what the other form closes with."""
        out = self._out(self._frames.close())
        return out + self._cross.close() if self._cross else out

    def _out(self, events: list[Event]) -> bytes:
        follow, cross, shown = self._follower.feed, self._cross, []
        for event in events:
            if not event.data:
                if cross is None or event.raw.startswith(b":"):
                    shown.append(event.raw)  # a comment: keeps connections alive
                continue
            self.seen = True
            visible = follow(event.name, event.data)
            if cross is not None:
                shown.append(cross.event(event.name, event.data))
            elif visible:
                shown.append(event.raw)
        return b"".join(shown)
