"""Files of rows: what a row is in each format, and what is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.store.formats import format_of
from headrace.store.rowcells import column_values, nested_values, stacked_values
from headrace.store.rowfile import Rows, column_of, open_rows
from headrace.types.errors import BadInput
from headrace.types.job import FileFormat
from headrace.types.model import Datatype


def write(path: Path, kind: FileFormat, rows: int) -> None:
    if kind is FileFormat.CSV:
        path.write_text("n,text\n" + "".join(f'{i},"é, {i}"\n' for i in range(rows)))
    elif kind is FileFormat.JSONL:
        path.write_text("".join(json.dumps({"n": i, "text": f"é, {i}"}) + "\n" for i in range(rows)))
    else:
        pq.write_table(pa.table({"n": range(rows), "text": [f"é, {i}" for i in range(rows)]}), path, row_group_size=7)


@pytest.mark.parametrize("kind", FileFormat)
@pytest.mark.parametrize("skip", [0, 1, 7, 8, 20, 29, 30])
def test_blocks_begin_where_they_are_asked_to(tmp_path: Path, kind: FileFormat, skip: int) -> None:
    path = tmp_path / "rows"
    write(path, kind, 30)
    found = list(open_rows(path, kind).blocks(skip=skip, size=4))
    numbers = [int(n) for rows in found for n in rows.table.column("n").to_pylist()]
    assert numbers == list(range(skip, 30))
    at = skip
    for rows in found:
        assert rows.first == at
        at += rows.count


@pytest.mark.parametrize("kind", FileFormat)
def test_an_empty_file_tells_its_columns(tmp_path: Path, kind: FileFormat) -> None:
    path = tmp_path / "rows"
    write(path, kind, 0)
    [rows] = open_rows(path, kind).blocks(skip=0, size=4)
    assert rows.count == 0
    assert kind is FileFormat.JSONL or rows.columns == ("n", "text")


def test_lines_that_are_no_rows_keep_their_place(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('a,b\n1,2\n3\n\n4,5,6\n"7\n",8\n')
    [rows] = open_rows(path, FileFormat.CSV).blocks(skip=0, size=10)
    assert rows.table.column("a").to_pylist() == ["1", "3", "4", "7\n"]
    assert list(rows.bad) == [1, 2]
    assert "1 cells, the header 2" in rows.bad[1]
    path.write_text('{"a": 1}\nnot json\n[1]\n\n{"b": "x"}\n{"a": "two"}\n')
    [rows] = open_rows(path, FileFormat.JSONL).blocks(skip=0, size=10)
    assert rows.table.column("a").to_pylist() == ["1", None, None, None, "two"]
    assert list(rows.bad) == [1, 2]


def test_files_that_are_not_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(BadInput, match="not UTF-8"):
        list(open_rows(path, FileFormat.CSV).blocks(skip=0, size=10))
    path.write_text("a,a\n")
    with pytest.raises(BadInput, match="two columns 'a'"):
        list(open_rows(path, FileFormat.CSV).blocks(skip=0, size=10))
    path.write_text("")
    with pytest.raises(BadInput, match="empty"):
        list(open_rows(path, FileFormat.CSV).blocks(skip=0, size=10))
    with pytest.raises(BadInput, match="not a Parquet file"):
        open_rows(path, FileFormat.PARQUET)


def test_the_format_is_the_suffixs_unless_it_is_named() -> None:
    assert format_of(Path("a.NDJSON"), None, field="input") is FileFormat.JSONL
    assert format_of(Path("a.txt"), "CSV", field="input") is FileFormat.CSV
    with pytest.raises(BadInput, match=r"'a.txt'"):
        format_of(Path("a.txt"), None, field="input")
    with pytest.raises(BadInput, match="'xml'"):
        format_of(Path("a.csv"), "xml", field="input")


def rows_of(**columns: object) -> Rows:
    return Rows(first=0, table=pa.table({name: column_of(values) for name, values in columns.items()}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("datatype", "cell", "value"),
    [
        (Datatype.FP64, "1.5", 1.5),
        (Datatype.FP64, " 2e3 ", 2000.0),
        (Datatype.FP64, "", "missing"),
        (Datatype.FP64, None, "missing"),
        (Datatype.FP64, "nan", "no such number"),
        (Datatype.FP64, float("inf"), "no such number"),
        (Datatype.FP64, "ü", "'ü', not a number"),
        (Datatype.FP32, 1e300, "does not fit float32"),
        (Datatype.INT64, "7", 7),
        (Datatype.INT64, 7.0, 7),
        (Datatype.INT64, "7.5", "not a whole number"),
        (Datatype.INT64, 7.5, "not a whole number"),
        (Datatype.INT64, str(2**62 + 1), 2**62 + 1),
        (Datatype.UINT8, 256, "does not fit uint8"),
        (Datatype.BOOL, "True", True),
        (Datatype.BOOL, 0, False),
        (Datatype.BOOL, "maybe", "not true or false"),
        (Datatype.BYTES, "é", "é"),
        (Datatype.BYTES, 3, "3, not text"),
    ],
)
def test_a_cell_is_a_value_or_says_why_not(datatype: Datatype, cell: object, value: object) -> None:
    """Alone, and beside a good one, for which a whole column goes another way."""
    for cells in ([cell], [cell, "1" if isinstance(cell, str) else cell]):
        values, bad = column_values(rows_of(x=cells), "x", datatype)
        if isinstance(value, str) and value != cell:
            assert value in bad[0]
        else:
            assert values[0] == value
            assert 0 not in bad


def test_lists_of_the_wrong_size_are_named_and_the_others_taken() -> None:
    rows = rows_of(x=[[1, 2, 3], [1, 2], None, [4, None, 6], [7, 8, 9]])
    values, bad = nested_values(rows, "x", Datatype.FP64, (3,))
    assert values[[0, 4]].tolist() == [[1, 2, 3], [7, 8, 9]]
    assert bad == {1: "x has 2 values, the model takes 3", 2: "x is missing", 3: "x is missing"}
    values, bad = nested_values(rows_of(x=[[[1, 2]], [[3, 4]], "no"]), "x", Datatype.INT64, (1, 2))
    assert "not a list" in bad[2]


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=2, max_size=2)))
def test_both_ways_of_reading_vectors_agree(vectors: list[list[float]]) -> None:
    table = pa.table({"x": pa.array(vectors, pa.list_(pa.float64()))})
    fast, bad = nested_values(Rows(first=0, table=table), "x", Datatype.FP32, (2,))
    assert not bad
    columns = {name: pa.array([str(v[i]) for v in vectors], pa.string()) for i, name in enumerate("ab")}
    slow, bad = stacked_values(Rows(first=0, table=pa.table(columns)), ("a", "b"), Datatype.FP32)
    assert not bad
    assert np.array_equal(fast.reshape(-1, 2), slow.reshape(-1, 2))
