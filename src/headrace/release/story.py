"""What was stored of a release, for a page that looks every second: each interval is read once, and few are kept.

Called by the console through the service. A day at two looks a second is 172,800 intervals: a page draws some hundred
of them, and what it says of novelty is added up (course.py). Decides which stay: of every so many the one with the
highest e-value, and the newest.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from headrace.release.course import Course
from headrace.release.results import Results, results_of
from headrace.store import releases
from headrace.store.db import Database
from headrace.store.releases import StoredInterval
from headrace.types.release import Release

DRAWN = 300  # intervals that are kept at least, of many
READ = 5_000  # at a time
STORIES = 8  # releases that pages may look at, at the same time


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    intervals: tuple[StoredInterval, ...]  # some of them in order of time, the newest among them
    results: Results


@dataclass(slots=True, kw_only=True)
class _Story:
    course: Course
    last: int = 0  # number of the newest interval that was read
    every: int = 1
    kept: list[StoredInterval] = field(default_factory=list)
    best: StoredInterval | None = None  # of those since the last that was kept
    newest: StoredInterval | None = None

    def add(self, number: int, stored: StoredInterval) -> None:
        """Of each group the one that came nearest to a verdict is kept."""
        self.course.add([stored.interval])
        self.last, self.newest = number, stored
        self.best = stored if self.best is None else _higher(self.best, stored)
        if number % self.every:
            return
        self.kept.append(self.best)
        self.best = None
        if len(self.kept) == 2 * DRAWN:
            self.every *= 2
            self.kept = [_higher(*both) for both in zip(self.kept[::2], self.kept[1::2], strict=True)]

    @property
    def intervals(self) -> tuple[StoredInterval, ...]:
        newest = () if self.newest is None or (self.kept and self.kept[-1] is self.newest) else (self.newest,)
        return (*self.kept, *newest)


def _higher(one: StoredInterval, other: StoredInterval) -> StoredInterval:
    return one if max(one.evalues.values(), default=0.0) > max(other.evalues.values(), default=0.0) else other


class Stories:
    """Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._all: OrderedDict[str, _Story] = OrderedDict()
        self._lock = threading.Lock()

    def tell(self, release: Release) -> Told:
        with self._lock:
            story = self._all.pop(release.id, None) or _Story(course=Course(release.plan.metrics))
            self._read(release.id, story)
            self._all[release.id] = story
            while len(self._all) > STORIES:
                self._all.popitem(last=False)
            return Told(intervals=story.intervals, results=results_of(release, story.course.novelties()))

    def _read(self, release_id: str, story: _Story) -> None:
        while True:
            with self._database.read() as conn:
                found = releases.intervals_after(conn, release_id, story.last, limit=READ)
            for number, stored in found:
                story.add(number, stored)
            if len(found) < READ:
                return
