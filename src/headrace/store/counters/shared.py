"""Counters that the workers of one port share: a file in memory, one place a name and window.

Called by traffic/limit.py on the event loop of each worker. A step is made under a file lock, which the kernel takes
from the dead. What is settled is one number; what is taken and not yet settled is in a column of the worker's own, that
its next life clears: so a worker that is killed in the middle leaves nothing behind.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from headrace.base.clock import Clock
from headrace.store.counters.base import Gauge, Seed, Taken, span
from headrace.types.errors import Unavailable
from headrace.types.gateway import Window

PLACES = 16_384  # names times windows at one time
PROBES = 64  # places that a name may be at
GRACE_SECONDS = 3_600.0  # after the end of its window a place may be taken: clocks are set back by less
_NAME, _END, _USED, _HELD = 0, 1, 2, 3  # cells of a place; from _HELD on, one a worker
_FOREVER = 1 << 62
_BYTES = 8


class _Lease(NamedTuple):
    places: tuple[tuple[int, int], ...]  # where, and whose it was
    amounts: Sequence[int]


class SharedCounters:
    def __init__(self, path: Path, *, workers: int, own: int, clock: Clock) -> None:
        """`own`: the place of this process among the workers."""
        self._clock, self._own, self._row = clock, own, _HELD + workers
        path.parent.mkdir(parents=True, exist_ok=True)
        named = path.with_name(f"{path.name}-{workers}")  # another number of workers is another layout
        self._fd = os.open(named, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = PLACES * self._row * _BYTES
        with self._locked():
            if os.fstat(self._fd).st_size < size:
                os.ftruncate(self._fd, size)
            self._map = mmap.mmap(self._fd, size)
            self._cells = memoryview(self._map).cast("q")
            for at in range(_HELD + own, len(self._cells), self._row):
                self._cells[at] = 0  # what this worker held in its last life

    async def take(self, gauges: Sequence[Gauge], amounts: Sequence[int]) -> Taken:
        now, cells, own = self._clock.now(), self._cells, _HELD + self._own
        spans = [span(gauge.window, now) for gauge in gauges]
        ends = tuple(each.end for each in spans)
        digests = [_digest(gauge.name, gauge.window, each.number) for gauge, each in zip(gauges, spans, strict=True)]
        with self._locked():
            places = [self._place(d, each.end, now) for d, each in zip(digests, spans, strict=True)]
            used = [self._total(at) for at in places]
            for number, (had, gauge, amount) in enumerate(zip(used, gauges, amounts, strict=True)):
                if had + amount > gauge.hard:
                    return Taken(number, tuple(used), ends, None)
            for at, amount in zip(places, amounts, strict=True):
                cells[at + own] += amount
        lease = _Lease(tuple(zip(places, digests, strict=True)), amounts)
        return Taken(-1, tuple(had + amount for had, amount in zip(used, amounts, strict=True)), ends, lease)

    def give(self, lease: object, used: Sequence[int]) -> None:
        assert isinstance(lease, _Lease)
        cells, own = self._cells, _HELD + self._own
        with self._locked():
            for (at, digest), amount, true in zip(lease.places, lease.amounts, used, strict=True):
                if cells[at] != digest:  # its window ended long ago, and the place is another's
                    continue
                cells[at + own] -= amount
                # Where nothing is ever settled for good (calls at once), `true` is 0.
                cells[at + _USED] += true

    async def seed(self, seeds: Sequence[Seed]) -> None:
        now = self._clock.now()
        with self._locked():
            for each in seeds:
                end = span(each.window, now).end
                at = self._place(_digest(each.name, each.window, each.number), end, now)
                self._cells[at + _USED] = max(self._cells[at + _USED], each.used)

    async def close(self) -> None:
        with self._locked():
            for at in range(_HELD + self._own, len(self._cells), self._row):
                self._cells[at] = 0
        self._cells.release()
        self._map.close()
        os.close(self._fd)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _total(self, at: int) -> int:
        return sum(self._cells[at + _USED : at + self._row])

    def _place(self, digest: int, end: float, now: float) -> int:
        """Found, or taken: the first that is free or over. All of them are looked at first, because a name may lie
        behind a place that has come free since."""
        free, cells = -1, self._cells
        for step in range(PROBES):
            at = (digest + step) % PLACES * self._row
            known = cells[at]
            if known == digest:
                return at
            if free < 0 and (known == 0 or cells[at + _END] < now - GRACE_SECONDS):
                free = at
            if known == 0:
                break
        if free < 0:
            raise Unavailable("there is no room for another counter", hint="use Redis: limits_url", retry_after=1.0)
        for cell in range(free, free + self._row):
            cells[cell] = 0
        cells[free + _END] = _FOREVER if end > _FOREVER else int(end)
        cells[free] = digest
        return free


def _digest(name: str, window: Window | None, number: int) -> int:
    """Never 0, which is a free place."""
    text = f"{name}\n{window}\n{number}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little", signed=True) or 1
