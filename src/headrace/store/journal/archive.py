"""Sealed segments become Parquet; small files become large ones; old files and read segments go.

Called by the control plane, every few seconds: `turn`. Decides what is deleted. One turn is, for each plane: seal what
a dead process left open → each sealed segment into Parquet files → manifest; then merge → manifest; retire by age →
manifest; delete read segments. A file counts from the manifest that lists it, so a crash between any two steps leaves
garbage for the next turn, never a lost or doubled row. See manifest.py.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.base.clock import Clock, SystemClock
from headrace.base.files import sync_folder
from headrace.base.log import fields
from headrace.store.journal.columns import SORT, to_table
from headrace.store.journal.manifest import (
    Manifest,
    ParquetFile,
    Retired,
    load_manifest,
    save_manifest,
)
from headrace.store.journal.records import BadLine, decode_row
from headrace.store.journal.segments import (
    ARCHIVES,
    FileLock,
    Kind,
    delete_lock,
    floor,
    next_number,
    numbers,
    open_path,
    open_segment,
    plane_lock,
    planes,
    raise_floor,
    read_lines,
    seal_leftovers,
    sealed_path,
)
from headrace.types.journal import Position

FAN_IN = 8  # files of about one size that are merged together; a row is rewritten about log8(merge_bytes/size) times
SPAN_SECONDS = 86_400.0  # a merged file covers at most this, as retention deletes whole files
ROW_GROUP = 20_000  # a look-up of one trace reads one of these
PLAIN = (
    "id",
    "trace_id",
    "time",
    "latency_ms",
    "run_ms",
    "input",
    "output",
    "beside",
    "value",
)  # not worth a dictionary

log = logging.getLogger("headrace.journal")


@dataclass(slots=True)
class Turn:
    """What one turn did; all zero when another process has the archive."""

    segments: int = 0  # archived
    rows: int = 0
    torn: int = 0
    merged: int = 0  # files
    retired: int = 0  # files, by age
    deleted: int = 0  # raw segments


@dataclass(slots=True)
class _Rows:
    """The records of one segment, by kind, with the bytes of their lines."""

    rows: dict[Kind, list[Any]] = field(default_factory=lambda: {kind: [] for kind in ARCHIVES})
    sizes: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(ARCHIVES, 0))
    torn: int = 0

    def add(self, kind: Kind, row: Any, size: int) -> None:
        self.rows[kind].append(row)
        self.sizes[kind] += size


class Archive:
    def __init__(
        self,
        folder: Path,
        *,
        retention_seconds: float,
        clock: Clock | None = None,
        merge_bytes: int = 64 << 20,
        grace_seconds: float = 600.0,
    ) -> None:
        """`merge_bytes`: of JSON, in one file. `grace_seconds`: how long a query may use files that were replaced."""
        self._folder = folder
        self._retention, self._grace, self._merge_bytes = retention_seconds, grace_seconds, merge_bytes
        self._clock = clock or SystemClock()

    def turn(self, keep: Position | None) -> Turn:
        """`keep`: up to where all readers have read (reader.earliest); None when there are no readers."""
        done = Turn()
        with self._alone() as alone:
            if not alone:
                return done
            manifest = self._clean(load_manifest(self._folder))
            for plane in planes(self._folder):
                _seal_dead(self._folder / plane)
                manifest = self._archive(plane, manifest, done)
            for kind in ARCHIVES:
                manifest = self._merge(kind, manifest, done)
                manifest = self._retire(kind, manifest, done)
            lock = delete_lock(self._folder)
            if lock.take():  # else a query is opening segments just now: the next turn will do
                try:
                    for plane in planes(self._folder):
                        self._delete(plane, manifest, keep, done)
                finally:
                    lock.drop()
        return done

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """One archive at a time, also when two control planes run."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for kind in ARCHIVES:
            (self._folder / kind).mkdir(exist_ok=True)
        lock = FileLock(self._folder / ".archive.lock")
        try:
            yield lock.take()
        finally:
            lock.drop()

    def _clean(self, manifest: Manifest) -> Manifest:
        """Delete what a crash left, and what was replaced long ago (or was so by a clock that has jumped since)."""
        now = self._clock.now()
        staying = tuple(r for r in manifest.retired if abs(now - r.since) < self._grace)
        known = {r.name for r in staying} | {f.name for kind in ARCHIVES for f in manifest.files(kind)}
        for kind in ARCHIVES:
            for path in (self._folder / kind).iterdir():
                if f"{kind}/{path.name}" not in known:
                    path.unlink()
        if staying == manifest.retired:
            return manifest
        return save_manifest(self._folder, msgspec.structs.replace(manifest, retired=staying))

    def _archive(self, plane: str, manifest: Manifest, done: Turn) -> Manifest:
        folder = self._folder / plane
        number = max(manifest.mark(plane).archived, floor(folder)) + 1
        while True:
            found = _read_segment(folder, number)
            if found is None:
                later = next_number(folder, number)
                if later is None or later == number:  # it is being written
                    return manifest
                log.warning("journal segments are missing", extra=fields(plane=plane, first=number, before=later))
                number = later
                continue
            manifest = self._add(plane, number, found, manifest)
            done.segments += 1
            done.torn += found.torn
            done.rows += sum(map(len, found.rows.values()))
            number += 1

    def _add(self, plane: str, number: int, found: _Rows, manifest: Manifest) -> Manifest:
        files: dict[str, tuple[ParquetFile, ...]] = {}
        for kind, rows in found.rows.items():
            if rows:
                name = f"{kind}/{plane}-{number:08d}.parquet"
                written = self._write(name, to_table(kind, rows), found.sizes[kind])
                files[kind] = (*manifest.files(kind), written)
        mark = msgspec.structs.replace(
            manifest.mark(plane), archived=number, torn=manifest.mark(plane).torn + found.torn
        )
        return save_manifest(
            self._folder, msgspec.structs.replace(manifest, planes=manifest.planes | {plane: mark}, **files)
        )

    def _write(self, name: str, table: pa.Table, size: int) -> ParquetFile:
        """Whole or not at all. The name follows from the content's origin: doing it again replaces the same file."""
        table = table.sort_by(SORT[name.partition("/")[0]])
        path = self._folder / name
        temporary = path.with_name(f".{path.name}.tmp")
        plain = [column for column in table.column_names if column not in PLAIN]
        pq.write_table(table, temporary, compression="zstd", row_group_size=ROW_GROUP, use_dictionary=plain)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.rename(path)
        sync_folder(path.parent)
        times = table.column("time")
        ids = table.column("trace_id").to_pylist() if "trace_id" in table.column_names else [""]
        return ParquetFile(
            name=name,
            rows=table.num_rows,
            size=size,
            first=times[0].as_py(),
            last=times[-1].as_py(),
            low=min(ids),
            high=max(ids),
        )

    def _merge(self, kind: Kind, manifest: Manifest, done: Turn) -> Manifest:
        while group := choose_merge(manifest.files(kind), self._merge_bytes):
            name = f"{kind}/_merged-{manifest.generation + 1:08d}.parquet"
            tables = [pq.read_table(self._folder / file.name, partitioning=None) for file in group]
            table = pa.concat_tables(tables, promote_options="default")
            merged = self._write(name, table, sum(file.size for file in group))
            kept = tuple(file for file in manifest.files(kind) if file not in group)
            manifest = self._replace(kind, manifest, (*kept, merged), group)
            done.merged += len(group)
        return manifest

    def _retire(self, kind: Kind, manifest: Manifest, done: Turn) -> Manifest:
        horizon = self._clock.now() - self._retention
        old = [file for file in manifest.files(kind) if file.last < horizon]
        if not old:
            return manifest
        done.retired += len(old)
        return self._replace(kind, manifest, tuple(f for f in manifest.files(kind) if f not in old), old)

    def _replace(
        self, kind: Kind, manifest: Manifest, files: tuple[ParquetFile, ...], gone: Sequence[ParquetFile]
    ) -> Manifest:
        now = self._clock.now()
        retired = (*manifest.retired, *(Retired(name=file.name, since=now) for file in gone))
        return save_manifest(self._folder, msgspec.structs.replace(manifest, retired=retired, **{kind: files}))

    def _delete(self, plane: str, manifest: Manifest, keep: Position | None, done: Turn) -> None:
        folder = self._folder / plane
        until = manifest.mark(plane).archived
        if keep is not None:
            until = min(until, keep.offsets.get(plane, (0, 0))[0] - 1)
        going = [number for number in numbers(folder) if number <= until]
        if not going:
            return
        raise_floor(folder, going[-1])
        for number in going:
            sealed_path(folder, number).unlink(missing_ok=True)
        done.deleted += len(going)


def choose_merge(files: Sequence[ParquetFile], merge_bytes: int) -> list[ParquetFile]:
    """The next group to merge, or nothing. Files of one size class, oldest first: each row is rewritten seldom."""
    tiers: dict[int, list[ParquetFile]] = {}
    for file in sorted(files, key=lambda file: file.first):
        if file.size * 2 <= merge_bytes:
            tiers.setdefault(int(math.log(max(file.size, 1), FAN_IN)), []).append(file)
    for tier in (tiers[key] for key in sorted(tiers)):
        if len(tier) < FAN_IN:
            continue
        for start in range(len(tier) - 1):
            group = _fitting(tier[start : start + FAN_IN], merge_bytes)
            if len(group) > 1:
                return group
    return []


def _fitting(files: Sequence[ParquetFile], merge_bytes: int) -> list[ParquetFile]:
    group: list[ParquetFile] = []
    for file in files:
        together = [*group, file]
        span = max(f.last for f in together) - together[0].first
        if sum(f.size for f in together) > merge_bytes or span > SPAN_SECONDS:
            break
        group = together
    return group


def _seal_dead(folder: Path) -> None:
    """Seal what a process left open that is not there any more: the lock of a living one cannot be taken."""
    if not any(open_path(folder, number).exists() for number in numbers(folder)):
        return
    lock = plane_lock(folder)
    if lock.take():
        try:
            seal_leftovers(folder)
        finally:
            lock.drop()


def _read_segment(folder: Path, number: int) -> _Rows | None:
    """All records of a sealed segment; None when it is not sealed or not there."""
    found, offset = _Rows(), 0
    with open_segment(folder, number) as view:
        if view is None or not view.sealed:
            return None
        while (chunk := read_lines(view, offset, limit=1 << 30)).size:
            offset += chunk.size
            found.torn += chunk.torn
            for line in chunk.lines:
                _sort_line(line, found)
    return found


def _sort_line(line: bytes, found: _Rows) -> None:
    try:
        row = decode_row(line)
    except BadLine:
        found.torn += 1
        return
    if row.call is not None:
        found.add("calls", row.call, len(line))
    elif row.feedback is not None:
        found.add("feedback", row.feedback, len(line))
    elif row.metric is not None:
        found.add("metrics", row.metric, len(line))
    elif row.event is not None:
        found.add("events", row.event, len(line))
    else:
        found.torn += 1
