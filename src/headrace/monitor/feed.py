"""Feeds the live figures: first from what the journal holds of the last minutes, then with what is appended.

Called by the control plane's live loop: `turn`. Decides that a restart shows the recent past again, each call once.
"""

from __future__ import annotations

from pathlib import Path

from headrace.base.clock import Clock
from headrace.monitor.live import LiveStats
from headrace.store.journal.query import JournalQuery
from headrace.store.journal.reader import Reader, start_position
from headrace.store.journal.records import CALLS

REBUILD_SECONDS = 600.0
# A call is written when it ends, and its time is when it began. Of calls that began longer ago than this before the
# reader's start, none is still to come: it is longer than the longest time limit of a call that people set.
OVERLAP_SECONDS = 60.0
READ_LIMIT = 5000


class LiveFeed:
    def __init__(self, stats: LiveStats, folder: Path, query: JournalQuery, clock: Clock) -> None:
        self._stats, self._folder, self._query, self._clock = stats, folder, query, clock
        self._reader: Reader | None = None
        self._overlap: set[str] = set()  # trace ids that were counted from the past and will be read again

    def turn(self) -> bool:
        """True when there is more to read at once."""
        if self._reader is None:
            self._reader = Reader(self._folder, start_position(self._folder), begins=CALLS)
            self._rebuild()
        calls = [row.call for row in self._reader.rows(limit=READ_LIMIT) if row.call is not None]
        if self._overlap:
            self._stats.feed(call for call in calls if call.trace_id not in self._overlap)
            if len(calls) < READ_LIMIT:
                self._overlap.clear()  # caught up: what comes now is new
        else:
            self._stats.feed(calls)
        return len(calls) >= READ_LIMIT

    def _rebuild(self) -> None:
        """The reader stands behind all that was there a moment ago; this counts all that is there now."""
        now = self._clock.now()
        for calls in self._query.scan(since=now - REBUILD_SECONDS):
            self._stats.feed(calls)
            self._overlap.update(call.trace_id for call in calls if call.time > now - OVERLAP_SECONDS)
