"""Feedback out of the journal, into the database: one row per trace, rater and name, as it stands now.

Called by the control plane's collect loop: `turn`. Decides nothing about what feedback means. The rows and the cursor
are one transaction, so that a crash neither loses a word nor reads it as a second one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from headrace.base.clock import Clock
from headrace.store import cursors, feedbacks
from headrace.store.db import Database
from headrace.store.journal.reader import Reader
from headrace.store.journal.records import FEEDBACK
from headrace.types.call import Feedback
from headrace.types.journal import Position

CONSUMER: Final = "collect"
READ_LIMIT = 5000
SAVE_SECONDS = 10.0  # a cursor that only passed calls is kept this often: a commit is a disk write


class Collector:
    def __init__(self, *, database: Database, folder: Path, clock: Clock) -> None:
        self.collected = 0  # rows new or changed, since this process started
        self._database, self._folder, self._clock = database, folder, clock
        self._reader: Reader | None = None
        self._saved = Position()
        self._saved_at = 0.0

    def turn(self) -> bool:
        """True when there is more to read at once."""
        reader = self._reader or self._open()
        records = reader.read(limit=READ_LIMIT)
        found = [record for record in records if isinstance(record, Feedback)]
        now = self._clock.steady()
        if found or (reader.position != self._saved and now - self._saved_at >= SAVE_SECONDS):
            self._reader = None  # until the transaction has ended well: what it did not keep is read again
            self._keep(found, reader.position)
            self._reader, self._saved_at = reader, now
        return len(records) >= READ_LIMIT

    def _open(self) -> Reader:
        with self._database.read() as conn:
            self._saved = cursors.get(conn, CONSUMER) or Position()
        self._reader = Reader(self._folder, self._saved, begins=FEEDBACK)
        return self._reader

    def _keep(self, found: list[Feedback], position: Position) -> None:
        with self._database.write() as conn:
            changed = feedbacks.put(conn, found)
            cursors.put(conn, CONSUMER, position)
        self.collected += changed
        self._saved = position
