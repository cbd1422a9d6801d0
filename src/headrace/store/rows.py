"""Rows of plain values as a Parquet file, whole or as it is made. Called by flywheel's exports: Arrow stays here.

Decides the Arrow type of each kind of column. Ignores what the columns mean.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.store.lines import SCHEMA, Lines

GROUP_ROWS = 10_000
# "json" is any other value, as its JSON text; "null" is a column without a value.
KINDS: dict[str, pa.DataType] = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "str": pa.string(),
    "list[float]": pa.list_(pa.float64()),
    "json": pa.string(),
}
_REPEATED = ["endpoint", "model", "version", "output", "label", "rating", "corrected", "unit"]  # worth a dictionary


def write_parquet(path: Path, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> None:
    """`columns`: name → one of KINDS. A row may lack a column: that is null. Memory is that of GROUP_ROWS rows."""
    schema = pa.schema([(name, KINDS[kind]) for name, kind in columns.items()])
    iterator = iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(iterator, GROUP_ROWS)):
            arrays = [_array([row.get(name) for row in group], kind) for name, kind in columns.items()]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


class ParquetFlow:
    """A file of lines.COLUMNS that leaves while it is made: the bytes of one group of rows after the other, and its
    index at the end."""

    def __init__(self) -> None:
        self._bytes = _Bytes()
        sink = pa.PythonFile(self._bytes, mode="w")
        self._writer = pq.ParquetWriter(sink, SCHEMA, compression="zstd", use_dictionary=_REPEATED)

    def write(self, blocks: Sequence[Lines]) -> bytes:
        """One group."""
        self._writer.write_table(pa.Table.from_batches(blocks), row_group_size=sum(one.num_rows for one in blocks))
        return self._bytes.taken()

    def close(self) -> bytes:
        self._writer.close()
        return self._bytes.taken()


class _Bytes(io.RawIOBase):
    """Takes what Arrow writes, and gives it away."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._at += len(part)
        return len(part)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _array(values: Sequence[Any], kind: str) -> pa.Array:
    if kind == "json":
        values = [None if value is None else msgspec.json.encode(value).decode() for value in values]
    elif kind == "float":
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, type=KINDS[kind])
