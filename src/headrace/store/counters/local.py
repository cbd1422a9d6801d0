"""Counters of one process. What it counted is gone with it; the ledger gives days and months back (see `seed`).

Called by traffic/limit.py on the event loop: nothing here waits, so a step is atomic by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import add, attrgetter, gt

import msgspec

from headrace.base.clock import Clock
from headrace.store.counters.base import LEASE_SECONDS, Gauge, Seed, Span, Taken, span
from headrace.types.gateway import Window

SWEEP_SECONDS = 60.0
REAP_SECONDS = 1.0
_KNOWN = 20_000  # tuples of gauges whose cells are kept
# A window is forgotten when nobody has touched it for so long by the steady clock, however the other one jumps.
KEEP_SECONDS = {None: 3_600.0, Window.MINUTE: 600.0, Window.DAY: 2 * 86_400.0, Window.MONTH: 62 * 86_400.0}


_used = attrgetter("used")


@dataclass(slots=True, eq=False)
class Cell:
    used: int = 0
    touched: float = 0.0  # by the steady clock, to the minute


class Lease(msgspec.Struct, eq=False):
    cells: list[Cell]
    amounts: Sequence[int]
    expires: float


@dataclass(slots=True, eq=False)
class Found:
    """Where these gauges are counted, as long as these are the windows."""

    gauges: Sequence[Gauge]
    spans: dict[Window | None, Span]
    cells: list[Cell]
    ends: tuple[float, ...]
    hards: tuple[int, ...]


@dataclass(slots=True)
class LocalCounters:
    clock: Clock
    lease_seconds: float = LEASE_SECONDS
    _cells: dict[tuple[str, Window | None, int], Cell] = field(default_factory=dict)
    _leases: dict[int, Lease] = field(default_factory=dict)  # oldest first
    _spans: dict[Window | None, Span] = field(default_factory=dict)
    _found: dict[int, Found] = field(default_factory=dict)
    _swept: float = 0.0
    _due: float = 0.0  # the next look for leases that ran out
    _since: float = 0.0  # of the minute that `_spans` are of
    _until: float = 0.0

    async def take(self, gauges: Sequence[Gauge], amounts: Sequence[int]) -> Taken:
        steady, now = self.clock.steady(), self.clock.now()
        if steady >= self._due:
            self._reap(steady)
        if not self._since <= now < self._until:
            self._begin(now)
        spans = self._spans
        found = self._found.get(id(gauges))
        if found is None or found.gauges is not gauges or found.spans is not spans:
            found = self._look(gauges, spans)
        cells, ends = found.cells, found.ends
        used = tuple(map(_used, cells))
        after = tuple(map(add, used, amounts))
        over = tuple(map(gt, after, found.hards))
        if True in over:
            return Taken(over.index(True), used, ends, None)
        for cell, amount in zip(cells, after, strict=True):
            cell.used = amount
        lease = Lease(cells, amounts, steady + self.lease_seconds)
        self._leases[id(lease)] = lease
        return Taken(-1, after, ends, lease)

    def give(self, lease: object, used: Sequence[int]) -> None:
        assert isinstance(lease, Lease)
        known = self._leases.pop(id(lease), None) is lease  # else it ran out, and all of it has gone back already
        for cell, amount, true in zip(lease.cells, lease.amounts, used, strict=True):
            cell.used += true - amount if known else true

    async def seed(self, seeds: Sequence[Seed]) -> None:
        for each in seeds:
            cell = self._cells.setdefault((each.name, each.window, each.number), Cell())
            cell.used, cell.touched = max(cell.used, each.used), self.clock.steady()

    async def close(self) -> None:
        self._leases.clear()

    def _look(self, gauges: Sequence[Gauge], spans: dict[Window | None, Span]) -> Found:
        """The cells of these gauges in these windows; kept, because a caller comes again with the very same tuple."""
        if len(self._found) >= _KNOWN:
            self._found.clear()
        cells = [self._cells.setdefault((g.name, g.window, spans[g.window].number), Cell()) for g in gauges]
        for cell in cells:
            cell.touched = self.clock.steady()
        ends = tuple(spans[gauge.window].end for gauge in gauges)
        found = self._found[id(gauges)] = Found(gauges, spans, cells, ends, tuple(gauge.hard for gauge in gauges))
        return found

    def _begin(self, now: float) -> None:
        """The windows of this very minute; made once in it, and anew when the clock jumps."""
        self._spans = {window: span(window, now) for window in (None, *Window)}
        self._until = self._spans[Window.MINUTE].end
        self._since = self._until - 60

    def _reap(self, steady: float) -> None:
        """What was taken and never settled, because who took it is gone."""
        self._due = steady + REAP_SECONDS
        while self._leases:
            first = next(iter(self._leases.values()))
            if first.expires > steady:
                break
            del self._leases[id(first)]
            for cell, amount in zip(first.cells, first.amounts, strict=True):
                cell.used -= amount
        if steady - self._swept >= SWEEP_SECONDS:
            self._swept = steady
            held = {id(cell) for lease in self._leases.values() for cell in lease.cells}
            stale = [k for k, c in self._cells.items() if steady - c.touched > KEEP_SECONDS[k[1]] and id(c) not in held]
            for key in stale:
                del self._cells[key]
            self._found.clear()
