"""Calls as plain tuples, as fast as they can be read: for an export of millions. Called through JournalQuery.flow.

Decides the order, (time, trace id) over all files, with little memory: files whose times overlap are merged row by row,
the groups follow one another. Input and output stay JSON text: whoever writes them out again need not parse them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from headrace.store.journal.manifest import ParquetFile

COLUMNS = "time, trace_id, endpoint, version, unit, status, rows, input, output, shadow_of, reason"
BATCH = 2000


class Passed(NamedTuple):
    """Begins with what it is ordered by, so that tuples compare without a key."""

    time: float
    trace_id: str
    endpoint: str
    version: int
    unit: str
    status: str
    rows: int
    input: str | None
    output: str | None
    shadow_of: str | None
    reason: str


Open = Callable[[ParquetFile], Iterator[tuple[Any, ...]]]


def flow(
    files: Sequence[ParquetFile], rows_of: Open, raw: Sequence[tuple[Any, ...]]
) -> Iterator[list[tuple[Any, ...]]]:
    """Batches in order. `raw`: rows that are in no file yet, in order. Tuples are as Passed."""
    for group in grouped(files):
        last = max(file.last for file in group)
        early = [row for row in raw if row[0] <= last]
        raw = raw[len(early) :]
        sources = [rows_of(file) for file in group]
        merged = heapq.merge(*sources, iter(early)) if len(group) > 1 or early else sources[0]
        while batch := list(islice(merged, BATCH)):
            yield batch
    for start in range(0, len(raw), BATCH):
        yield list(raw[start : start + BATCH])


def grouped(files: Sequence[ParquetFile]) -> Iterator[list[ParquetFile]]:
    """Files whose times overlap, together, in order of time."""
    group: list[ParquetFile] = []
    end = 0.0
    for file in sorted(files, key=lambda f: (f.first, f.last)):
        if group and file.first > end:
            yield group
            group = []
        end = max(end, file.last) if group else file.last
        group.append(file)
    if group:
        yield group
