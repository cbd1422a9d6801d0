"""Rows of plain values as a Parquet file. Called by flywheel.export, because Arrow stays in this room.

Decides the Arrow type of each kind of column. Ignores what the columns mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

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


def write_parquet(path: Path, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> None:
    """`columns`: name → one of KINDS. A row may lack a column: that is null. Memory is that of GROUP_ROWS rows."""
    schema = pa.schema([(name, KINDS[kind]) for name, kind in columns.items()])
    iterator = iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(iterator, GROUP_ROWS)):
            arrays = [_array([row.get(name) for row in group], kind) for name, kind in columns.items()]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _array(values: Sequence[Any], kind: str) -> pa.Array:
    if kind == "json":
        values = [None if value is None else msgspec.json.encode(value).decode() for value in values]
    elif kind == "float":
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, type=KINDS[kind])
