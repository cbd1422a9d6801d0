"""What a batch job has done so far, beside its output: parts that are there whole or not at all, then the output.

Called by batch. `scored.parquet` is written from `scored.parquet.parts/`, which holds

    job.json                         what is scored, and what the input looked like
    000000016384-8192-3.arrow        rows 16,384 to 24,576, three of them with an error

A part is synced and then gets its name, so the names alone say how far the job is: a kill loses what had none yet, and
nothing is done twice in the output. The output itself appears by one rename, after which the parts go.
"""

from __future__ import annotations

import csv
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from headrace.base.files import sync_folder, write_atomic
from headrace.store.rowcells import ARROW
from headrace.store.rowfile import Rows, column_of, text_of
from headrace.types.errors import BadInput, Conflict
from headrace.types.job import FileFormat, Scoring
from headrace.types.model import Datatype

_PART = re.compile(r"(\d+)-(\d+)-(\d+)\.arrow")
_KEPT = b"headrace.kept"  # how many of a part's columns came from the input
_HEAD, _TAIL = 1 << 20, 1 << 16
_GROUP = 65_536  # rows of a Parquet row group, at most
_FREE = ("rows_per_call",)  # of a Scoring: does not change the output


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One output of the model: `depth` lists around each value; None for a row without an answer."""

    name: str
    datatype: Datatype
    depth: int
    values: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Scored rows, in order, on their way to the disk."""

    first: int
    failed: int
    table: pa.Table

    @property
    def count(self) -> int:
        return int(self.table.num_rows)

    @property
    def reason(self) -> str:
        """The first error of its rows."""
        return next((text for text in self.table.column("error").to_pylist() if text), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    size: int
    modified_ns: int
    ends: str  # sha256 of its first MiB and its last 64 KiB


class _Manifest(msgspec.Struct, frozen=True):
    scoring: Scoring
    input: Fingerprint


def part_of(rows: Rows, kept: Sequence[str], columns: Sequence[Column], words: Mapping[str, Sequence[Any]]) -> Part:
    """`words`: further columns of text, of which `error` says which rows failed."""
    fields = [pa.field(name, rows.table.schema.field(name).type) for name in kept]
    arrays: list[Any] = [rows.table.column(name) for name in kept]
    for column in columns:
        kind = ARROW[column.datatype]
        for _ in range(column.depth):
            kind = pa.list_(kind)
        fields.append(pa.field(column.name, kind))
        arrays.append(pa.array(column.values, kind))
    for name, texts in words.items():
        fields.append(pa.field(name, pa.string()))
        arrays.append(pa.array(texts, pa.string()))
    schema = pa.schema(fields, metadata={_KEPT: str(len(kept))})
    failed = sum(1 for text in words["error"] if text is not None)
    return Part(first=rows.first, failed=failed, table=pa.Table.from_arrays(arrays, schema=schema))


def joined(parts: Sequence[Part]) -> Part:
    """Parts that follow each other, as one."""
    schema = _common([part.table.schema for part in parts])
    table = pa.concat_tables([_conformed(part.table, schema) for part in parts])
    return Part(first=parts[0].first, failed=sum(part.failed for part in parts), table=table)


def fingerprint(path: Path) -> Fingerprint:
    digest = sha256()
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        digest.update(file.read(_HEAD))
        file.seek(max(0, stat.st_size - _TAIL))
        digest.update(file.read(_TAIL))
    return Fingerprint(size=stat.st_size, modified_ns=stat.st_mtime_ns, ends=digest.hexdigest())


def written(scoring: Scoring, since: float) -> bool:
    """Whether a job that began at `since` got as far as its output, and was killed before it could say so."""
    output = Path(scoring.output)
    left = output.with_name(output.name + ".parts")
    return output.exists() and not left.exists() and output.stat().st_mtime >= since


class Parts:
    """Held by one process at a time."""

    def __init__(self, scoring: Scoring, *, restart: bool = False) -> None:
        """Raises Conflict when the output is there already, when the job was another, or when it runs elsewhere."""
        self.output = Path(scoring.output)
        self.folder = self.output.with_name(self.output.name + ".parts")
        self._format = scoring.output_format
        done = self._done
        if done.exists():
            shutil.rmtree(done)
        if self.output.exists() and not self.folder.exists() and not restart:
            raise Conflict(f"{str(self.output)!r} exists", field="output", hint="--restart replaces it")
        if not self.output.parent.is_dir():
            raise BadInput(f"{str(self.output.parent)!r} is not a folder", field="output")
        self.folder.mkdir(exist_ok=True)
        self._lock = self._alone()
        try:
            self._agree(_Manifest(scoring=scoring, input=fingerprint(Path(scoring.input))), restart)
            self._names = self._contiguous()
        except BaseException:
            self.close()
            raise

    @property
    def _done(self) -> Path:
        return self.folder.with_name(self.folder.name + ".done")

    @property
    def rows(self) -> int:
        return sum(count for _, count, _ in self._names)

    @property
    def failed(self) -> int:
        return sum(failed for _, _, failed in self._names)

    def add(self, part: Part) -> None:
        """On disk when this returns."""
        key = (part.first, part.count, part.failed)
        temporary = self.folder / f"new.{secrets.token_hex(4)}"
        with temporary.open("wb") as file:
            with ipc.new_file(file, part.table.schema, options=ipc.IpcWriteOptions(compression="zstd")) as writer:
                writer.write_table(part.table)
            _synced(file)
        temporary.rename(self._path(key))
        sync_folder(self.folder)
        self._names.append(key)

    def finish(self) -> None:
        """The output, whole; then nothing but the output."""
        whole = self.folder / "whole"
        with whole.open("wb") as file:
            _write(file, [self._path(key) for key in self._names], self._format)
            _synced(file)
        whole.replace(self.output)
        sync_folder(self.output.parent)
        self.folder.rename(self._done)  # from here on there is no job that could go on with a half of its parts
        self.close()
        shutil.rmtree(self._done)

    def close(self) -> None:
        self._lock.close()

    def _alone(self) -> IO[bytes]:
        lock = (self.folder / "lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise Conflict(f"another process is at work on {str(self.output)!r}", field="output") from None
        return lock

    def _agree(self, manifest: _Manifest, restart: bool) -> None:
        path = self.folder / "job.json"
        if path.exists() and not restart:
            _same(msgspec.json.decode(path.read_bytes(), type=_Manifest), manifest)
            return
        path.unlink(missing_ok=True)  # first: parts without it are thrown away
        for old in self.folder.iterdir():
            if old.name != "lock":
                old.unlink()
        write_atomic(path, msgspec.json.encode(manifest))

    def _contiguous(self) -> list[tuple[int, int, int]]:
        """What follows a gap (someone deleted a part) is done again; what has no name yet was never there."""
        names, rows = [], 0
        found = {path: _PART.fullmatch(path.name) for path in self.folder.iterdir()}
        for path, match in sorted(found.items()):
            key = tuple(int(n) for n in match.groups()) if match else None
            if key is not None and key[0] == rows:
                names.append((key[0], key[1], key[2]))
                rows += key[1]
            elif path.name not in ("lock", "job.json"):
                path.unlink()
        return names

    def _path(self, key: tuple[int, int, int]) -> Path:
        return self.folder / f"{key[0]:012d}-{key[1]}-{key[2]}.arrow"


def _same(old: _Manifest, new: _Manifest) -> None:
    hint = "--restart begins from the first row"
    for name, value in asdict(new.scoring).items():
        if name not in _FREE and getattr(old.scoring, name) != value:
            raise Conflict(
                f"{name} is {value!r}; the job that is half done had {getattr(old.scoring, name)!r}",
                field=name,
                hint=hint,
            )
    if old.input != new.input:
        what = next(f for f in ("size", "ends", "modified_ns") if getattr(old.input, f) != getattr(new.input, f))
        words = {"size": "size", "ends": "content", "modified_ns": "time of change"}
        raise Conflict(
            f"{new.scoring.input!r} is not the file that the job began with: its {words[what]} is another",
            field="input",
            hint=hint,
        )


def _common(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Of the input's columns first, in the order in which they came up, then of the results."""
    kept: dict[str, list[pa.DataType]] = {}
    results: dict[str, list[pa.DataType]] = {}
    for schema in schemas:
        count = int(schema.metadata[_KEPT])
        for i, column in enumerate(schema):
            (kept if i < count else results).setdefault(column.name, []).append(column.type)
    fields = [pa.field(name, _widest(kinds)) for name, kinds in (kept | results).items()]
    return pa.schema(fields, metadata={_KEPT: str(len(kept))})


def _widest(kinds: Sequence[pa.DataType]) -> pa.DataType:
    try:
        unified = pa.unify_schemas([pa.schema([("x", kind)]) for kind in set(kinds)], promote_options="permissive")
    except (pa.lib.ArrowInvalid, pa.lib.ArrowTypeError):
        return pa.string()  # of several kinds: as JSON text
    return unified.field(0).type


def _conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    arrays = []
    for field in schema:
        if field.name not in table.column_names:
            arrays.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        if column.type != field.type and field.type == pa.string():
            values = [None if value is None else text_of(value) for value in column.to_pylist()]
            column = pa.array(values, pa.string())
        arrays.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _write(file: IO[bytes], paths: Sequence[Path], kind: FileFormat) -> None:
    schemas = []
    for path in paths:
        with pa.memory_map(str(path)) as source:
            schemas.append(ipc.open_file(source).schema)
    schema = _common(schemas) if schemas else pa.schema([pa.field("error", pa.string())])
    tables = _tables(paths, schema)
    if kind is FileFormat.PARQUET:
        with pq.ParquetWriter(file, schema.remove_metadata(), compression="zstd") as writer:
            for table in tables:
                writer.write_table(table.replace_schema_metadata(None), row_group_size=_GROUP)
    elif kind is FileFormat.CSV:
        _write_csv(file, schema.names, tables)
    else:
        for table in tables:
            for batch in table.to_batches(max_chunksize=1024):
                file.writelines(msgspec.json.encode(row) + b"\n" for row in batch.to_pylist())


def _tables(paths: Sequence[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    for path in paths:
        with pa.memory_map(str(path)) as source:
            yield _conformed(ipc.open_file(source).read_all(), schema)


def _write_csv(file: IO[bytes], names: Sequence[str], tables: Iterator[pa.Table]) -> None:
    text = TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for table in tables:
        for batch in table.to_batches(max_chunksize=1024):
            columns = [[_cell(value) for value in column.to_pylist()] for column in batch.columns]
            writer.writerows(zip(*columns, strict=True))
    text.flush()
    text.detach()


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict | bytes):
        return msgspec.json.encode(value).decode()
    return ("true" if value else "false") if isinstance(value, bool) else value


def _synced(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


__all__ = ["Column", "Fingerprint", "Part", "Parts", "column_of", "fingerprint", "joined", "part_of"]
