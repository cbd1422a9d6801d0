"""Calls by time, endpoint, variant, status, unit or trace id, from the archive and what is not in it yet.

Called by the control plane (traces, export) in threads. Decides which files a question needs: the manifest knows each
file's times and trace ids. Each row comes once, also while the archive turns: a question reads one manifest, and holds
open the segments that it does not cover before the archive may delete them. Order is (time, trace id).
"""

from __future__ import annotations

import heapq
import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Unpack

import duckdb
import msgspec
from pyarrow import RecordBatch

from headrace.base.ids import traceparent
from headrace.store.journal.flow import Among, Source, Window, held, merge, read
from headrace.store.journal.manifest import Manifest, ParquetFile, load_manifest
from headrace.store.journal.records import JSON_FIELDS, BadLine, CallRow, decode_row, parse, text_of
from headrace.store.journal.segments import (
    BLOCK,
    SegmentView,
    delete_lock,
    floor,
    next_number,
    open_segment,
    planes,
    read_lines,
)
from headrace.store.journal.wanted import Filter, Key, Wanted
from headrace.types.call import Call
from headrace.types.errors import Unavailable

BATCH = 1000
IDS = 20_000  # trace ids in one statement
GROUP = 32  # files in one statement at most
LOCK_SECONDS = 5.0  # the archive holds it for as long as some files take to delete

Row = dict[str, Any]
_key = itemgetter("time", "trace_id")


def page_key(call: Call) -> Key:
    """What the next page's `after` is, given the last call of this one."""
    return call.time, call.trace_id


class JournalQuery:
    """Safe to use from several threads."""

    def __init__(self, folder: Path, *, threads: int = 2) -> None:
        self._folder = folder
        self._connection = duckdb.connect(config={"threads": threads, "autoinstall_known_extensions": False})

    def close(self) -> None:
        self._connection.close()

    def calls(
        self, *, limit: int = 100, newest_first: bool = True, after: Key | None = None, **wanted: Unpack[Wanted]
    ) -> list[Call]:
        """One page. `after`: page_key of the last call of the page before."""
        where = Filter(**wanted, before=after if newest_first else None, behind=None if newest_first else after)
        files, raw = self._snapshot(where)
        page = _Page(limit=limit, newest_first=newest_first)
        page.add(raw)
        pending = deque(sorted(files, key=lambda f: -f.last if newest_first else f.first))
        size = 1
        while pending and page.wants(pending[0]):
            group = [pending.popleft() for _ in range(min(size, len(pending)))]
            page.add(self._top(group, where, limit, newest_first))
            size = min(size * 2, GROUP)  # nothing found so far: look wider
        return [_call(row) for row in page.rows]

    def call(self, trace_id: str) -> Call | None:
        """Trace ids begin with their time, so their order tells which file can have one."""
        with ExitStack() as stack:
            manifest, views = self._hold(stack)
            files = [file for file in manifest.calls if file.low <= trace_id <= file.high]
            if files:
                for row in self._rows(files, "trace_id = $trace_id", {"trace_id": trace_id}):
                    return _call(row)
            for view in reversed(views):
                if (found := _find(view, trace_id)) is not None:
                    return _call(_plain(found))
        return None

    def asked_for(self, call: Call) -> list[Call]:
        """What this platform was asked on behalf of the call, in its order: their lines name it as their parent."""
        until = call.time + call.latency_ms / 1000 + 1.0  # a line's time is when its call was accepted
        parent = traceparent(call.trace_id, "")[:-3]
        return self.calls(newest_first=False, since=call.time - 1.0, until=until, parent=parent)

    def scan(
        self, since: float | None = None, until: float | None = None, endpoint: str | None = None
    ) -> Iterator[list[Call]]:
        """All that match as of now, oldest first, in batches; whatever is appended meanwhile is not in it."""
        where = Filter(since=since, until=until, endpoint=endpoint)
        files, raw = self._snapshot(where)
        condition, values = where.sql()
        sources = [(file.first, self._rows([file], condition, values)) for file in files]
        if raw:
            raw.sort(key=_key)
            sources.append((raw[0]["time"], iter(raw)))
        batch: list[Call] = []
        for row in _merge(sources):
            batch.append(_call(row))
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def among(self, trace_ids: Sequence[str]) -> Iterator[list[Call]]:
        """Those of these that are there, by file, in no order across files. What is not archived yet comes last."""
        ids = sorted(set(trace_ids))
        with ExitStack() as stack:
            manifest, views = self._hold(stack)
            wanted = set(ids)
            raw = [_plain(row) for view in views for row in _calls(view) if row.trace_id in wanted]
        for file in manifest.calls:
            mine = ids[bisect_left(ids, file.low) : bisect_right(ids, file.high)]
            for start in range(0, len(mine), IDS):
                some = {"ids": mine[start : start + IDS]}
                rows = self._rows([file], "trace_id IN (SELECT unnest($ids))", some)
                while batch := [_call(row) for row in islice(rows, BATCH)]:
                    yield batch
        for start in range(0, len(raw), BATCH):
            yield [_call(row) for row in raw[start : start + BATCH]]

    def blocks(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        after: Key | None = None,
        among: Among | None = None,
    ) -> Iterator[RecordBatch]:
        """All as of now as columns (flow.SCHEMA), oldest first. `among`: those of its trace ids alone."""
        files, raw = self._snapshot(Filter(since=since, until=until, behind=after))
        window = Window(since=since, until=until, behind=after)

        def blocks_of(file: ParquetFile) -> Iterator[RecordBatch]:
            ids = None if among is None else among(file.low, file.high)
            if ids is None or ids:
                yield from read(self._folder / file.name, window, ids)

        sources = [Source(first=file.first, blocks=partial(blocks_of, file)) for file in files]
        rest = held(raw, among)
        return merge([*sources, rest] if rest else sources)

    def flow(self, *, since: float | None = None, until: float | None = None) -> Iterator[list[tuple[Any, ...]]]:
        """All as of now as tuples like flow.Passed, oldest first."""
        for block in self.blocks(since=since, until=until):
            yield list(zip(*(column.to_pylist() for column in block.columns), strict=True))

    def count(self, **wanted: Unpack[Wanted]) -> int:
        where = Filter(**wanted)
        files, raw = self._snapshot(where)
        total = len(raw) + sum(file.rows for file in files if where.covers(file))
        partly = [file for file in files if not where.covers(file)]
        condition, values = where.sql()
        if partly:
            for row in self._rows(partly, condition, values, select="count(*) AS calls"):
                total += row["calls"]
        return total

    # what there is

    def _snapshot(self, where: Filter) -> tuple[list[ParquetFile], list[Row]]:
        """Files that may have matches, and the matches that are in no file yet."""
        with ExitStack() as stack:
            manifest, views = self._hold(stack)
            rows = [_plain(row) for view in views for row in _calls(view) if where.admits(row)]
        return [file for file in manifest.calls if where.touches(file)], rows

    def _hold(self, stack: ExitStack) -> tuple[Manifest, list[SegmentView]]:
        """A manifest and, held open, all segments that it does not cover: none is deleted in between."""
        if not self._folder.exists():
            return Manifest(), []
        lock, deadline = delete_lock(self._folder), time.monotonic() + LOCK_SECONDS
        while not lock.take(shared=True):
            if time.monotonic() > deadline:
                raise Unavailable("the journal's archive does not let go of the segments", retry_after=1.0)
            time.sleep(0.002)
        try:
            manifest = load_manifest(self._folder)
            return manifest, [v for plane in planes(self._folder) for v in self._uncovered(plane, manifest, stack)]
        finally:
            lock.drop()

    def _uncovered(self, plane: str, manifest: Manifest, stack: ExitStack) -> Iterator[SegmentView]:
        folder = self._folder / plane
        number: int | None = max(manifest.mark(plane).archived, floor(folder)) + 1
        while number is not None:
            view = stack.enter_context(open_segment(folder, number))
            if view is None:
                number = next_number(folder, number)
            else:
                yield view
                number += 1

    # Parquet

    def _top(self, files: Sequence[ParquetFile], where: Filter, limit: int, newest_first: bool) -> list[Row]:
        condition, values = where.sql()
        order = "DESC" if newest_first else "ASC"
        tail = f"ORDER BY time {order}, trace_id {order} LIMIT $limit"
        return list(self._rows(files, f"{condition} {tail}", values | {"limit": limit}))

    def _rows(self, files: Sequence[ParquetFile], condition: str, values: Row, *, select: str = "*") -> Iterator[Row]:
        """In the order of the file, for one file. Without absent values, and columns that are younger than the file."""
        paths = [str(self._folder / file.name) for file in files]
        source = "read_parquet($files, union_by_name = true, hive_partitioning = false)"
        statement = f"SELECT {select} FROM {source} WHERE {condition}"  # noqa: S608  our own words: values are bound
        with self._connection.cursor() as cursor:
            try:
                cursor.execute(statement, values | {"files": paths})
                names = [column[0] for column in cursor.description]
                while rows := cursor.fetchmany(BATCH):
                    for row in rows:
                        yield {name: value for name, value in zip(names, row, strict=True) if value is not None}
            except duckdb.Error as error:
                raise Unavailable(f"the journal's archive cannot be read: {error}", retry_after=1.0) from error


class _Page:
    """The first `limit` rows of those added."""

    def __init__(self, *, limit: int, newest_first: bool) -> None:
        self.rows: list[Row] = []
        self._limit, self._newest_first = limit, newest_first

    def add(self, rows: list[Row]) -> None:
        pick = heapq.nlargest if self._newest_first else heapq.nsmallest
        self.rows = pick(self._limit, self.rows + rows, key=_key)

    def wants(self, file: ParquetFile) -> bool:
        """Whether the file, the next in order, can have a row that belongs on the page."""
        if len(self.rows) < self._limit:
            return True
        last = self.rows[-1]["time"]
        return bool(file.last >= last if self._newest_first else file.first <= last)


def _merge(sources: list[tuple[float, Iterator[Row]]]) -> Iterator[Row]:
    """Sorted sources into one order. One is opened when the order reaches its first time: files overlap little."""
    pending = deque(sorted(sources, key=itemgetter(0)))
    heap: list[tuple[float, str, int, Row, Iterator[Row]]] = []
    opened = 0
    while heap or pending:
        if pending and (not heap or pending[0][0] <= heap[0][0]):
            source = pending.popleft()[1]
            opened += 1
            if (row := next(source, None)) is not None:
                heapq.heappush(heap, (row["time"], row["trace_id"], opened, row, source))
            continue
        _, _, index, row, source = heap[0]
        yield row
        if (following := next(source, None)) is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following["time"], following["trace_id"], index, following, source))


def _calls(view: SegmentView) -> Iterator[CallRow]:
    offset = 0
    while (chunk := read_lines(view, offset, limit=1 << 30, block=BLOCK)).size:
        offset += chunk.size
        for line in chunk.lines:
            if (row := _call_row(line)) is not None:
                yield row


def _find(view: SegmentView, trace_id: str) -> CallRow | None:
    """Search the bytes first: decoding all lines would take ten times as long."""
    wanted, offset = trace_id.encode(), 0
    while (chunk := read_lines(view, offset, limit=1 << 30, block=BLOCK)).size:
        offset += chunk.size
        for line in chunk.lines:
            if wanted in line and (row := _call_row(line)) is not None and row.trace_id == trace_id:
                return row
    return None


def _call_row(line: bytes) -> CallRow | None:
    try:
        return decode_row(line).call
    except BadLine:
        return None


def _plain(row: CallRow) -> Row:
    values = msgspec.structs.asdict(row)
    for name in JSON_FIELDS:
        if (text := text_of(values.pop(name))) is not None:
            values[name] = text
    return values


def _call(row: Row) -> Call:
    """Uses the row up. What it lacks has the field's default."""
    for name in JSON_FIELDS:
        if name in row:
            row[name] = parse(row[name])
    return msgspec.convert(row, Call)
