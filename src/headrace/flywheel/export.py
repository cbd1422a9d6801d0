"""The flywheel's data set: calls of a model and what people said of them, as one file that knows its own hash.

Called by GET /export (api/admin/export.py). Reads from top to bottom: whose calls → rows → lines on disk → the format
that was asked for → the manifest. examples.py decides which answer is right, columns.py which columns there are.

The file is complete before its first byte is sent: its id stands in a header, and a failure half-way is an error, not a
short data set. Memory is that of one batch.

A data set holds calls that were answered, and failed ones that a person corrected; shadow traffic is not in it.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from headrace.base.clock import Clock
from headrace.base.files import file_sha256, write_atomic
from headrace.flywheel.columns import Columns, flatten
from headrace.flywheel.examples import COLUMNS, answered, examples_of, sum_up
from headrace.flywheel.selection import Format, Selection
from headrace.flywheel.wanted import endpoints_of
from headrace.store import feedbacks
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.store.rows import write_parquet
from headrace.types.dataset import DataFile, DatasetVersion
from headrace.types.errors import BadInput

MEDIA: Final = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSONL: "application/x-ndjson",
    Format.PARQUET: "application/vnd.apache.parquet",
}
MANIFEST: Final = "dataset.json"
_HASH_SIZE: Final = 1 << 256
_sorted = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """`misfits`: corrections that fit no row of their call, and so are not in the file."""

    path: Path
    media: str
    dataset: DatasetVersion
    misfits: int


class Exporter:
    def __init__(self, *, database: Database, query: JournalQuery, clock: Clock) -> None:
        self._database, self._query, self._clock = database, query, clock

    def export(self, selection: Selection, folder: Path) -> Export:
        """One file in `folder`, which exists. Raises NotFound for an unknown model or endpoint."""
        with self._database.read() as conn:
            names = endpoints_of(conn, model=selection.model, endpoint=selection.endpoint)
        lines = folder / "data.jsonl"
        content = _Content()
        with lines.open("wb") as file:
            for row in self._rows(selection, names, content):
                file.write(content.add(row))
        path = _convert(lines, content.columns.kinds, selection.format)
        return Export(
            path=path,
            media=MEDIA[selection.format],
            dataset=self._describe(selection, content, path),
            misfits=content.misfits,
        )

    def export_dataset(self, selection: Selection, folder: Path) -> DatasetVersion:
        """The file and its manifest, into a new or empty `folder`: both are there, or nothing is."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadInput(f"{str(folder)!r} exists and is not an empty folder", field="folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as temporary:
            inner = Path(temporary) / "dataset"
            inner.mkdir()
            dataset = self.export(selection, inner).dataset
            write_atomic(inner / MANIFEST, msgspec.json.format(msgspec.json.encode(dataset), indent=2))
            inner.replace(folder)
        return dataset

    def _rows(self, selection: Selection, names: dict[str, str], content: _Content) -> Iterator[dict[str, Any]]:
        if not names:
            return
        only = next(iter(names)) if len(names) == 1 else None
        for batch in self._query.scan(selection.since, selection.until, only):
            calls = [call for call in batch if call.endpoint in names and call.from_user]
            with self._database.read() as conn:
                given = feedbacks.for_traces(conn, [call.trace_id for call in calls])
            for call in calls:
                said = sum_up(given.get(call.trace_id, ()))
                if said.matches(selection.rating) and answered(call, corrected=said.corrected):
                    found = examples_of(call, said, names[call.endpoint])
                    content.misfits += found.misfits
                    yield from found.rows

    def _describe(self, selection: Selection, content: _Content, path: Path) -> DatasetVersion:
        file = DataFile(path=path.name, sha256=file_sha256(path), size=path.stat().st_size, rows=content.rows)
        dataset = DatasetVersion(
            id="",
            name=selection.model,
            created=0.0,
            files=(file,),
            columns=content.columns.kinds,
            rows=content.rows,
            row_hash=content.row_hash,
            query=selection.query,
            corrected=content.corrected,
        )
        # Neither the id nor the time is part of what is hashed: the same data are the same version whenever exported.
        return replace(dataset, id=f"ds_{sha256(_sorted.encode(dataset)).hexdigest()}", created=self._clock.now())


class _Content:
    """What is known of the rows once all have been written."""

    def __init__(self) -> None:
        self.columns = Columns(COLUMNS)
        self.rows = self.corrected = self.misfits = 0
        self._sum = 0

    @property
    def row_hash(self) -> str:
        return f"{self._sum:064x}"

    def add(self, row: dict[str, Any]) -> bytes:
        """The row's line. Hashes are added up, so that the order of rows does not matter and a doubled row does."""
        self.columns.look(row)
        self.rows += 1
        self.corrected += bool(row["corrected"])
        self._sum = (self._sum + int.from_bytes(sha256(_sorted.encode(row)).digest())) % _HASH_SIZE
        return msgspec.json.encode(row) + b"\n"


def _convert(lines: Path, kinds: dict[str, str], wanted: Format) -> Path:
    """The same rows in another format, beside; the lines themselves go."""
    if wanted is Format.JSONL:
        return lines
    path = lines.with_suffix(f".{wanted}")
    if wanted is Format.PARQUET:
        write_parquet(path, kinds, _read(lines))
    else:
        _write_csv(path, list(kinds), _read(lines))
    lines.unlink()
    return path


def _read(lines: Path) -> Iterator[Mapping[str, Any]]:
    """Rows as a table has them."""
    with lines.open("rb") as file:
        for line in file:
            yield flatten(msgspec.json.decode(line))


def _write_csv(path: Path, names: list[str], rows: Iterator[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([_cell(row.get(name)) for name in names] for row in rows)


def _cell(value: Any) -> Any:
    """Numbers and text as they are; true, false, lists and objects as JSON; nothing as an empty cell."""
    if isinstance(value, bool | list | dict):
        return msgspec.json.encode(value).decode()
    return value
