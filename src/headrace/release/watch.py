"""One release being watched: its own reader of the journal, and the counts since the last look.

Called by turn.py. It lives in memory only: what it needs after a restart (the cursor, the counted units, the
evidence) was stored in the transaction of the last interval, so a new watch continues where that one stood.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from headrace.release.copies import Copies
from headrace.release.evidence import Accumulator, Closed, Record
from headrace.release.parts import Parts, cursor_name
from headrace.release.spoken import ANSWER
from headrace.store import cursors, endpoints, releases
from headrace.store.journal.reader import Reader
from headrace.types.call import Call
from headrace.types.endpoint import Endpoint, Task
from headrace.types.journal import Position
from headrace.types.model import TensorSpec
from headrace.types.release import Release
from headrace.types.strategy import StepKind

BATCH = 5_000  # records of one look; a backlog is worked off in several


class Watch:
    def __init__(self, parts: Parts, release: Release) -> None:
        with parts.database.read() as conn:
            position = cursors.get(conn, cursor_name(release.id))
            counted = releases.counted(conn, release.id)
            specs = {m.endpoint: _answers(endpoints.get(conn, m.endpoint), m.baseline) for m in release.members}
        cuts = {name: found.cut_ms for name, found in (release.evidence or {}).items() if found.cut_ms}
        self._reader = Reader(parts.settings.journal, position)
        self._clock = parts.clock
        self._since = parts.clock.now()
        self._revision = 0
        self._counts = Accumulator(release, counted=counted, cuts=cuts, find=parts.query.call)
        shadows = any(step.kind is StepKind.SHADOW for step in release.plan.steps)
        self._copies = Copies(release, specs=specs, counted=counted, find=parts.query.call) if shadows else None

    @property
    def position(self) -> Position:
        return self._reader.position

    def look(self, step: int) -> list[Closed]:
        """What has come in: an interval for each plan that calls ran under, so that within one shares do not change."""
        found = []
        for revision, group in groupby(self._plans(self._reader.read(BATCH)), key=lambda pair: pair[0]):
            if self._revision and revision != self._revision:
                found.append(self._close(step))
            self._revision = revision
            records = [record for _, record in group]
            self._counts.observe(records)
            if self._copies is not None:
                self._copies.observe(records)
        return [*found, self._close(step)]

    def next_step(self, time: float) -> None:
        self._counts.next_step(time)
        if self._copies is not None:
            self._copies.next_step()

    def _plans(self, records: list[Record]) -> Iterator[tuple[int, Record]]:
        """Each record with the highest plan seen so far: a late call of an older plan does not go back."""
        revision = self._revision
        for record in records:
            if isinstance(record, Call):
                revision = max(revision, record.revision)
            yield revision, record

    def _close(self, step: int) -> Closed:
        now = self._clock.now()
        closed = self._counts.close(start=self._since, end=now, step=step)
        self._since = now
        return closed if self._copies is None else self._copies.close(closed)


def _answers(endpoint: Endpoint | None, baseline: str) -> tuple[TensorSpec, ...]:
    """What callers get of it, the answer first."""
    if endpoint is not None and endpoint.task is Task.CHAT:
        return (ANSWER,)
    variant = endpoint.variant(baseline) if endpoint else None
    return variant.signature.outputs if variant else ()
