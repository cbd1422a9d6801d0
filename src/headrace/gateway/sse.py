"""Server-sent events out of bytes, as they come: any split, any line ending, several lines of data, comments.

Called by the streaming client of upstreams, for every piece that it reads. Each event keeps the bytes it came as, so
that a relay writes them on unchanged; all bytes that go in come out, in order, in the `raw` of some event. Ignores
what the data means (dialects/), and `id:` and `retry:`, which pass like comments. Bytes are split, never text, so a
character that is cut between two reads is whole again. One event may be as large as `limit`.
"""

from __future__ import annotations

import re

import msgspec

from headrace.types.errors import UpstreamError

LIMIT = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
# The end of a line, twice. Atomic, or the two bytes of one \r\n would count as two ends.
_BLANK = re.compile(rb"(?>\r\n|\n|\r){2}")


class Event(msgspec.Struct, frozen=True, gc=False):
    """`data`: of all its lines, without the end of the last. Without data it is a comment or a keep-alive."""

    raw: bytes
    name: bytes
    data: bytes


class Frames:
    """Of one stream. `between`: nothing is left of what came, and so far lines end with \\n."""

    __slots__ = ("_carriage", "_first", "_limit", "_rest", "_seen", "between")

    def __init__(self, limit: int = LIMIT) -> None:
        self.between = False
        self._limit = limit
        self._rest = bytearray()  # what has no blank line yet
        self._seen = 0  # how much of it was searched
        self._carriage = False  # a \r came: the slow search
        self._first = True

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are whole now. Raises UpstreamError when one is larger than the limit."""
        self.between = False
        if self._first and (chunk := self._begun(chunk)) == b"":
            return []
        if not self._carriage and b"\r" in chunk:
            self._carriage = True
        if self._carriage:
            return self._searched(chunk)
        if not self._rest:
            blocks = chunk.split(b"\n\n")
            if blocks[-1]:
                self._keep(blocks[-1])
            return [_event(block, block + b"\n\n") for block in blocks[:-1]]
        return self._continued(chunk)

    def block(self, chunk: bytes) -> bytes | None:
        """The events that are whole now, in one piece, for who need not see each; None where that is not sure, so that
        `feed` has to take this chunk."""
        rest = self._rest
        if self._first and not rest and not _BOM.startswith(chunk[:1]):
            self._first = False
        if self._first or self._carriage or b"\r" in chunk:
            return None
        if not rest and chunk.endswith(b"\n\n"):
            self.between = True
            return chunk
        self.between = False
        rest += chunk
        end = rest.rfind(b"\n\n", max(0, self._seen - 1)) + 2
        if end < 2:
            self._check()
            return b""
        whole = bytes(rest[:end])
        del rest[:end]
        self._check()
        return whole

    def events(self, block: bytes) -> list[Event]:
        """Of what `block` returned."""
        *blocks, last = block.split(b"\n\n")
        if last:  # the third of three line breaks: it begins what comes next
            self._rest[:0] = last
            self.between = False
        return [_event(each, each + b"\n\n") for each in blocks]

    def close(self) -> list[Event]:
        """What was left when the stream ended. Servers forget the last blank line, so it counts as an event."""
        rest = bytes(self._rest)
        self._rest.clear()
        return [_event(rest, rest)] if rest else []

    def _begun(self, chunk: bytes) -> bytes:
        """A byte order mark may stand at the very start; it is dropped, as it is no part of any line."""
        self._rest += chunk
        if len(self._rest) < len(_BOM) and _BOM.startswith(bytes(self._rest)):
            return b""
        self._first = False
        begun = bytes(self._rest)
        self._rest.clear()
        return begun.removeprefix(_BOM)

    def _continued(self, chunk: bytes) -> list[Event]:
        """Only the first end is searched in what was kept: after it, the chunk is split like any other."""
        rest = self._rest
        rest += chunk
        at = rest.find(b"\n\n", max(0, self._seen - 1))
        if at < 0:
            self._check()
            return []
        first = bytes(rest[: at + 2])
        after = bytes(rest[at + 2 :])
        rest.clear()
        self._seen = 0
        events = [_event(first[:-2], first)]
        if after:
            events += self.feed(after)
        return events

    def _searched(self, chunk: bytes) -> list[Event]:
        """With \\r among the ends of lines. A \\r at the end of a piece ends its line at once, whatever comes: waiting
        for a \\n would hold up an event until the next one. That \\n then begins the next event, as an empty line."""
        rest = self._rest
        rest += chunk
        events: list[Event] = []
        start, at = 0, max(0, self._seen - 3)
        while found := _BLANK.search(rest, at):
            events.append(_lines(bytes(rest[start : found.end()])))
            start = at = found.end()
        self._rest = rest[start:] if start else rest
        self._check()
        return events

    def _keep(self, rest: bytes) -> None:
        self._rest += rest
        self._check()

    def _check(self) -> None:
        self._seen = len(self._rest)
        if self._seen > self._limit:
            raise UpstreamError(f"one event of the stream is larger than {self._limit} bytes", field="event")


def framed(data: bytes, name: bytes = b"") -> bytes:
    """One event of ours. `data` must be one line, as compact JSON is."""
    return b"event: " + name + b"\ndata: " + data + b"\n\n" if name else b"data: " + data + b"\n\n"


def _event(block: bytes, raw: bytes) -> Event:
    """The two forms that nearly all events have are told by their beginning; the rest is read line by line."""
    if block.startswith(b"data: ") and b"\n" not in block:
        return Event(raw, b"", block[6:])
    if block.startswith(b"event: "):
        name, _, data = block[7:].partition(b"\n")
        if data.startswith(b"data: ") and b"\n" not in data:
            return Event(raw, name, data[6:])
    return _lines(raw)


def _lines(raw: bytes) -> Event:
    name = b""
    data: list[bytes] = []
    for line in raw.splitlines():
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return Event(raw, name, b"\n".join(data))
