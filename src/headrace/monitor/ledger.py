"""The ledger's reader: calls to language models out of the journal, into sums by the hour.

Called by the control plane's ledger loop: `turn`. Decides nothing: what a call used and cost is in its line. Sums and
cursor are one transaction, and a trace id counts once, so that a crash neither loses a cent nor bills it twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from headrace.base.clock import Clock
from headrace.store import cursors, spend
from headrace.store.db import Database
from headrace.store.journal.reader import Reader
from headrace.store.journal.records import SPENT
from headrace.types.call import Call
from headrace.types.journal import Position

CONSUMER: Final = "ledger"
READ_LIMIT = 5000
SAVE_SECONDS = 10.0  # a cursor that only passed other records is kept this often
FORGET_SECONDS = 600.0


class Ledger:
    def __init__(self, *, database: Database, folder: Path, clock: Clock) -> None:
        self.billed = 0  # calls, since this process started
        self._database, self._folder, self._clock = database, folder, clock
        self._reader: Reader | None = None
        self._saved = Position()
        self._saved_at = self._forgot_at = 0.0

    def turn(self) -> bool:
        """True when there is more to read at once."""
        reader = self._reader or self._open()
        records = reader.read(limit=READ_LIMIT)
        found = [record for record in records if isinstance(record, Call)]
        now = self._clock.steady()
        if found or (reader.position != self._saved and now - self._saved_at >= SAVE_SECONDS):
            self._reader = None  # until the transaction has ended well: what it did not keep is read again
            self._keep(found, reader.position, now)
            self._reader, self._saved_at = reader, now
        return len(records) >= READ_LIMIT

    def _open(self) -> Reader:
        with self._database.read() as conn:
            self._saved = cursors.get(conn, CONSUMER) or Position()
        self._reader = Reader(self._folder, self._saved, holds=SPENT)
        return self._reader

    def _keep(self, found: list[Call], position: Position, now: float) -> None:
        with self._database.write() as conn:
            new = spend.add(conn, found)
            cursors.put(conn, CONSUMER, position)
            if now - self._forgot_at >= FORGET_SECONDS:
                spend.forget(conn, self._clock.now())
        self.billed += new
        self._saved, self._forgot_at = position, max(self._forgot_at, now if found else 0.0)
