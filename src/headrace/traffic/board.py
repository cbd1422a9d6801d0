"""Numbers that the workers of one port share: who is up with which plan, and how many calls are inside each endpoint.

Made by app/data.py when there are several workers, opened beside them by `headrace up`, read by serving/fleet.py
(gates) and api/siblings.py (plans). A file in memory: each worker writes its own cells alone and reads everybody's.
Decides who gets the last place of an endpoint when two workers ask at once. Ignores what is called.

Entering costs no system call, full or not: a worker says that it tries, then adds up what is inside. Whoever is sure
either way, goes; only where workers try for the last places in the same microsecond do they queue for a file lock,
which the kernel takes from the dead. So a limit is never exceeded, and no place stays empty because two were polite.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import Lock

from headrace.traffic.admit import Gate

WORKERS = 64
ENDPOINTS = 4096  # names in the life of one `headrace up`
_UP, _REVISION, _REFUSED, _CONNECTIONS, _ROW = 0, 1, 2, 3, 4  # cells of a worker's row
_NAMES = WORKERS * _ROW
_CELLS = _NAMES + ENDPOINTS
_BYTES = 8
_TRY = 1 << 32  # added to a count while its worker tries to enter
_COUNT = _TRY - 1
_SPINS = 200  # looks at a worker that was put to sleep in the middle of trying; then it is ahead

log = logging.getLogger("headrace.traffic")
# A locked instruction: our own cell is written for all to see before the others' are read.
_FENCE = Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One worker: `revision` is in force on it, `refused` could not be realised; all 0 while it is down."""

    up: bool
    revision: int
    refused: int
    connections: int


class Board:
    """`own` is the place of this process among the workers; None: it only looks, and clears up after the dead."""

    def __init__(self, path: Path, *, workers: int, own: int | None = None) -> None:
        self.workers = workers
        self._own = own
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = (_CELLS + ENDPOINTS * workers) * _BYTES
        with self.locked():
            if os.fstat(self._fd).st_size < size:
                os.ftruncate(self._fd, size)
        self._map = mmap.mmap(self._fd, size)
        self._cells = memoryview(self._map).cast("q")
        if own is not None:
            self.clear(own)

    def gate(self, name: str) -> Gate:
        """Of an endpoint; the limit is set by the plan."""
        at = self._find(int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little", signed=True) or 1)
        if at is None or self._own is None:
            log.error("no room for another endpoint name: %r is limited in each worker alone", name)
            return Gate(name, 0)
        first = _CELLS + at * self.workers
        return SharedGate(name, self._cells[first : first + self.workers], self._own, self)

    def clear(self, worker: int) -> None:
        """What it held is free: it is dead, or has just begun."""
        self._cells[worker * _ROW] = 0  # first of all it is down
        for cell in (
            *range(worker * _ROW, (worker + 1) * _ROW),
            *range(_CELLS + worker, len(self._cells), self.workers),
        ):
            self._cells[cell] = 0

    def clear_own(self) -> None:
        """This worker ends."""
        if self._own is not None:
            self.clear(self._own)

    def tell(
        self, *, up: bool | None = None, revision: int = 0, refused: int = 0, connections: int | None = None
    ) -> None:
        """Into our own row: what is given."""
        at = (self._own or 0) * _ROW
        if revision:
            self._cells[at + _REVISION] = revision
        if refused:
            self._cells[at + _REFUSED] = refused
        if connections is not None:
            self._cells[at + _CONNECTIONS] = connections
        if up is not None:
            self._cells[at + _UP] = int(up)

    def row(self, worker: int) -> Row:
        up, revision, refused, connections = self._cells[worker * _ROW : (worker + 1) * _ROW].tolist()
        return Row(up=bool(up), revision=revision, refused=refused, connections=connections)

    def inside(self, name: str) -> int:
        """Calls inside an endpoint, of all workers."""
        gate = self.gate(name)
        return gate.total() if isinstance(gate, SharedGate) else gate.inside

    @contextmanager
    def locked(self) -> Iterator[None]:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _find(self, digest: int) -> int | None:
        """The column of a name: found, or taken. A name is written last, under the lock."""
        with self.locked():
            for step in range(ENDPOINTS):
                at = (digest + step) % ENDPOINTS
                known = self._cells[_NAMES + at]
                if known in (0, digest):
                    self._cells[_NAMES + at] = digest
                    return at
        return None


class SharedGate(Gate):
    """A gate whose limit holds over all workers. `inside` are our own calls."""

    __slots__ = ("_all", "_board", "_own")

    def __init__(self, name: str, cells: memoryview[int], own: int, board: Board) -> None:
        super().__init__(name, 0)
        self._all, self._own, self._board = cells, own, board
        self.inside = cells[own] & _COUNT

    def total(self) -> int:
        return sum(self._all) & _COUNT

    def enter(self) -> None:
        cells, own = self._all, self._own
        cells[own] = self.inside + _TRY
        with _FENCE:
            found = sum(cells)
        inside, trying = found & _COUNT, found >> 32
        if inside + trying <= self.limit or (inside < self.limit and self._contend()):
            self.inside += 1
            cells[own] = self.inside
            return
        cells[own] = self.inside
        raise self.full(inside)

    def leave(self) -> None:
        self.inside -= 1
        self._all[self._own] = self.inside

    def _contend(self) -> bool:
        """For the last places, one worker after the other. Those that have not come to the lock yet are waited for."""
        cells, own = self._all, self._own
        cells[own] = self.inside
        with self._board.locked():
            cells[own] = self.inside + _TRY
            for _ in range(_SPINS):
                with _FENCE:
                    found = sum(cells)
                inside, trying = found & _COUNT, found >> 32
                if inside + trying <= self.limit:
                    cells[own] = self.inside + 1
                    return True
                if inside >= self.limit:
                    break
                os.sched_yield()
            cells[own] = self.inside
        return False
