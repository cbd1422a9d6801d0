"""The newest plan, for who asks for it twenty times a second.

Called by serving/watch.py, in its thread. Decides when the database need not be asked: a SQLite file to which nobody
has written since the last look holds the plan that was seen then. To see that takes two system calls, and a transaction
takes a hundred times as much, whose Python code stands in the way of the calls that are served meanwhile. Any other
database is asked each time.
"""

from __future__ import annotations

import os
import time

from headrace.store import plans
from headrace.store.db import Database
from headrace.types.endpoint import Plan

LOOK_SECONDS = 0.5  # a file's times are not the truth everywhere: so often it is asked all the same
TICK_NS = 50_000_000  # two writes within one tick of the kernel's clock leave the same time: that proves nothing

Stamp = tuple[tuple[int, int, int], ...]


class PlanSource:
    def __init__(self, database: Database) -> None:
        self._database = database
        path = database.url.database or "" if database.is_sqlite else ""
        self._paths = (path, f"{path}-wal") if path else ()
        self._seen: tuple[Stamp, float, int] = ((), 0.0, 0)  # at the last look; without a stamp not to be relied on

    def revision(self) -> int:
        """From any thread."""
        stamp, now = self._stamped(), time.monotonic()
        seen, looked, revision = self._seen
        if stamp and stamp == seen and now - looked < LOOK_SECONDS:
            return revision
        with self._database.read() as conn:
            revision = plans.revision(conn)
        settled = time.time_ns() - max((changed for _, changed, _ in stamp), default=0) > TICK_NS
        self._seen = (stamp if settled else (), now, revision)
        return revision

    def latest(self) -> Plan | None:
        with self._database.read() as conn:
            return plans.latest(conn)

    def _stamped(self) -> Stamp:
        """Of the file and of its log, taken before the database is asked: what is written after that shows."""
        found = []
        for path in self._paths:
            try:
                seen = os.stat(path)
            except OSError:  # no log yet; or no file, as the database will say itself
                continue
            found.append((seen.st_ino, seen.st_mtime_ns, seen.st_size))
        return tuple(found)
