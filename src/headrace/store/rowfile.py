"""Files of rows, read block by block: CSV, JSONL and Parquet, however large. Arrow stays in this room.

Called by batch, which asks for blocks from a row on, and hands them to rowcells.py and scored.py. Decides what a row is
in each format, and that a row which is none (too few cells, no JSON) is kept in its place, with the reason in `bad`.
Memory is that of one block. Text of a CSV stays text: what it means is decided by who asks for numbers.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.types.errors import BadInput
from headrace.types.job import FileFormat

_CELL_BYTES = 64 << 20  # of one CSV cell; the csv module's own limit is 128 KiB
_HEAD = 1 << 20
_SHOWN = 60
_NOTHING = (pa.lib.ArrowInvalid, pa.lib.ArrowTypeError, pa.lib.ArrowNotImplementedError, OverflowError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows `first` to `first + count` of a file. Goes to other processes as it is."""

    first: int
    table: pa.Table
    bad: dict[int, str] = field(default_factory=dict)  # by the number within the block

    @property
    def count(self) -> int:
        return int(self.table.num_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.table.column_names)


class RowFile(Protocol):
    """Its first block may have no rows, never another: so an empty file tells its columns."""

    total: int | None  # rows, where the file tells without being read
    about: int  # a guess at it, from the lines at its beginning

    def blocks(self, *, skip: int, size: int) -> Iterator[Rows]: ...


def open_rows(path: Path, kind: FileFormat) -> RowFile:
    """Raises BadInput when the file is not what its format says."""
    readers: dict[FileFormat, type[_Csv | _Jsonl | _Parquet]] = {
        FileFormat.CSV: _Csv,
        FileFormat.JSONL: _Jsonl,
        FileFormat.PARQUET: _Parquet,
    }
    return readers[kind](path)


class _Csv:
    def __init__(self, path: Path) -> None:
        self.total: int | None = None
        self.about = max(0, _lines(path) - 1)
        self._path = path

    def blocks(self, *, skip: int, size: int) -> Iterator[Rows]:
        csv.field_size_limit(_CELL_BYTES)
        with self._path.open(encoding="utf-8-sig", newline="") as file:
            lines = _readable(csv.reader(file), self._path)
            names = _header(next(lines, None), self._path)
            rows = (line for line in lines if line)  # an empty line is no row
            first = sum(1 for _ in islice(rows, skip))
            while (block := list(islice(rows, size))) or not first:
                bad = {i: _misfit(line, len(names)) for i, line in enumerate(block) if len(line) != len(names)}
                for i in bad:
                    block[i] = [*block[i], *[""] * len(names)][: len(names)]
                columns = zip(*block, strict=True) if block else [()] * len(names)
                table = pa.table([pa.array(column, pa.string()) for column in columns], names=names)
                yield Rows(first=first, table=table, bad=bad)
                if not block:
                    return
                first += len(block)


def _lines(path: Path) -> int:
    """About how many."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return round(head.count(b"\n") * path.stat().st_size / max(1, len(head)))


def _readable(lines: Iterator[list[str]], path: Path) -> Iterator[list[str]]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path.name} is not UTF-8: {error.reason}", field="input", hint="convert it, for example with iconv"
        ) from error
    except csv.Error as error:
        raise BadInput(f"{path.name} cannot be read as CSV: {error}", field="input") from error


def _header(names: list[str] | None, path: Path) -> list[str]:
    if not names:
        raise BadInput(f"{path.name} is empty: a CSV starts with a line that names its columns", field="input")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(f"{path.name} has two columns {twice[0]!r}", field="input")
    return names


def _misfit(line: Sequence[str], columns: int) -> str:
    return f"the line has {len(line)} cells, the header {columns}: {','.join(line)[:_SHOWN]!r}"


class _Jsonl:
    def __init__(self, path: Path) -> None:
        self.total: int | None = None
        self.about = _lines(path)
        self._path = path

    def blocks(self, *, skip: int, size: int) -> Iterator[Rows]:
        with self._path.open("rb") as file:
            lines = (line for line in file if line.strip())
            first = sum(1 for _ in islice(lines, skip))
            while (block := list(islice(lines, size))) or not first:
                records, bad = _records(block)
                yield rows_of(records, first=first, bad=bad)
                if not block:
                    return
                first += len(block)


def rows_of(records: Sequence[dict[str, Any]], *, first: int = 0, bad: dict[int, str] | None = None) -> Rows:
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = [column_of([record.get(name) for record in records]) for name in names]
    table = pa.table(columns, names=names) if names else _nameless(len(records))
    return Rows(first=first, table=table, bad=bad or {})


def _records(lines: Sequence[bytes]) -> tuple[list[dict[str, Any]], dict[int, str]]:
    records: list[dict[str, Any]] = []
    bad: dict[int, str] = {}
    for i, line in enumerate(lines):
        try:
            found: Any = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            bad[i] = f"the line is not JSON: {error}: {line.decode(errors='replace').strip()[:_SHOWN]!r}"
            found = {}
        if not isinstance(found, dict):
            bad[i] = f"the line is {line.decode(errors='replace').strip()[:_SHOWN]!r}, not an object"
            found = {}
        records.append(found)
    return records, bad


def column_of(values: Sequence[Any]) -> pa.Array:
    """Values of any kind; where they are of several, each as its JSON text."""
    try:
        return pa.array(values)
    except _NOTHING:
        return pa.array([None if value is None else text_of(value) for value in values], pa.string())


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _nameless(rows: int) -> pa.Table:
    """Arrow counts the rows of its columns, so rows without any have one that means nothing."""
    return pa.table({"": pa.nulls(rows)})


class _Parquet:
    def __init__(self, path: Path) -> None:
        self._path = path
        with self._opened() as file:
            self.total: int | None = int(file.metadata.num_rows)
            self.about = self.total or 0

    def _opened(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self._path)
        except pa.lib.ArrowInvalid as error:
            raise BadInput(f"{self._path.name} is not a Parquet file: {error}", field="input") from error

    def blocks(self, *, skip: int, size: int) -> Iterator[Rows]:
        with self._opened() as file:
            if not self.total:
                yield Rows(first=0, table=file.schema_arrow.empty_table())
                return
            group, before = 0, 0  # whole groups are skipped unread
            while group < file.num_row_groups and before + file.metadata.row_group(group).num_rows <= skip:
                before += file.metadata.row_group(group).num_rows
                group += 1
            first = before
            try:
                for batch in file.iter_batches(batch_size=size, row_groups=range(group, file.num_row_groups)):
                    table = pa.Table.from_batches([batch]).slice(max(0, skip - first))
                    if table.num_rows:
                        yield Rows(first=first + batch.num_rows - table.num_rows, table=table)
                    first += batch.num_rows
            except (pa.lib.ArrowInvalid, OSError) as error:
                raise BadInput(f"{self._path.name} is damaged after row {first}: {error}", field="input") from error
