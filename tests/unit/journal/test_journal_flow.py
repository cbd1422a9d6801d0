"""Blocks of calls in one order: over overlapping files, from as little of them as answers the question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.store.journal import archive, flow
from headrace.store.journal.archive import Archive
from headrace.store.journal.flow import SCHEMA, Passed, Source, Window, held, merge, read
from headrace.store.journal.query import JournalQuery
from headrace.types.errors import Unavailable
from tests.control_samples import START, call, open_journal, write

keys = st.lists(st.tuples(st.integers(0, 9).map(float), st.integers(0, 99).map("tr-{:02}".format)), max_size=20)


def row(time: float, trace_id: str) -> dict[str, Any]:
    return {"time": time, "trace_id": trace_id, "rows": 1, "input": "[1]"}


def source(rows: Sequence[tuple[float, str]], size: int, opened: list[float]) -> Source:
    ordered = sorted(rows)

    def blocks() -> Iterator[pa.RecordBatch]:
        opened.append(ordered[0][0])
        for start in range(0, len(ordered), size):
            yield pa.RecordBatch.from_pylist([row(*key) for key in ordered[start : start + size]], schema=SCHEMA)

    return Source(first=ordered[0][0], blocks=blocks)


def keys_of(block: pa.RecordBatch) -> list[tuple[float, str]]:
    return list(zip(block["time"].to_pylist(), block["trace_id"].to_pylist(), strict=True))


@settings(max_examples=50)
@given(st.lists(keys.filter(bool), max_size=5), st.integers(1, 4))
def test_sources_become_one_order(sources: list[list[tuple[float, str]]], size: int) -> None:
    opened: list[float] = []
    merged = [keys_of(block) for block in merge([source(rows, size, opened) for rows in sources])]
    assert all(merged), "no block is empty"
    assert [key for block in merged for key in block] == sorted(key for rows in sources for key in rows)


def test_a_source_is_opened_when_the_order_reaches_it() -> None:
    opened: list[float] = []
    sources = [source([(float(n), "a"), (n + 0.5, "b")], 1, opened) for n in range(5)]
    for number, _ in enumerate(merge(sources)):
        assert len(opened) <= number // 2 + 2
    assert opened == [0.0, 1.0, 2.0, 3.0, 4.0]


@given(
    keys.filter(bool),
    st.none() | st.integers(0, 10),
    st.none() | st.integers(0, 10),
    st.none() | st.tuples(st.integers(0, 9).map(float), st.just("tr-50")),
)
def test_a_window_cuts_what_it_says(
    rows: list[tuple[float, str]], since: int | None, until: int | None, behind: tuple[float, str] | None
) -> None:
    rows = sorted(rows)
    block = pa.RecordBatch.from_pylist([row(*key) for key in rows], schema=SCHEMA)
    inside = [
        key
        for key in rows
        if (since is None or key[0] >= since) and (until is None or key[0] < until) and (behind is None or key > behind)
    ]
    window = Window(since=since, until=until, behind=behind)
    assert keys_of(window.cut(block)) == inside
    assert window.touches(rows[0][0], rows[-1][0]) or not inside


def test_rows_that_are_in_no_file_are_put_in_order() -> None:
    found = held([row(2.0, "b"), row(1.0, "c"), row(1.0, "a")], None)
    assert found is not None
    assert [key for block in found.blocks() for key in keys_of(block)] == [(1.0, "a"), (1.0, "c"), (2.0, "b")]
    assert held([row(1.0, "a")], lambda low, high: []) is None
    only = held([row(1.0, "a"), row(2.0, "b")], lambda low, high: [high])
    assert only is not None
    assert [key for block in only.blocks() for key in keys_of(block)] == [(2.0, "b")]


def test_columns_that_are_younger_than_the_file_have_no_values(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([row(1.0, "a")], schema=SCHEMA).drop_columns(["shadow_of", "reason"])
    pq.write_table(table, tmp_path / "old.parquet")
    (block,) = read(tmp_path / "old.parquet", Window())
    assert block.to_pylist() == [dict.fromkeys(Passed._fields) | row(1.0, "a")]


class Counted:
    """Which files were opened, and of how many of their row groups something was read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[str] = []
        self.groups: list[int] = []
        counted = self

        class File(pq.ParquetFile):  # type: ignore[misc]
            def __init__(self, path: Path, **options: Any) -> None:
                counted.opened.append(path.name)
                super().__init__(path, **options)

            def iter_batches(self, size: int, *, row_groups: list[int], columns: list[str]) -> Iterator[Any]:
                counted.groups += row_groups
                return super().iter_batches(size, row_groups=row_groups, columns=columns)

        monkeypatch.setattr(flow.pq, "ParquetFile", File)


def test_only_what_may_hold_an_answer_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four segments of a hundred calls, ten calls in a row group."""
    monkeypatch.setattr(archive, "ROW_GROUP", 10)
    calls = [call(number) for number in range(400)]
    for segment in range(4):
        with open_journal(tmp_path, f"plane{segment}") as journal:
            write(journal, calls[100 * segment : 100 * segment + 100])
    Archive(tmp_path, retention_seconds=1e12).turn(None)
    query = JournalQuery(tmp_path)
    counted = Counted(monkeypatch)
    wanted = sorted(calls[number].trace_id for number in (105, 107, 150))

    def among(low: str, high: str) -> list[str]:
        return [trace_id for trace_id in wanted if low <= trace_id <= high]

    found = [key for block in query.blocks(among=among) for key in keys_of(block)]
    assert [trace_id for _, trace_id in found] == wanted
    assert (len(counted.opened), counted.groups) == (1, [0, 5])
    counted.opened.clear()
    counted.groups.clear()
    found = [key for block in query.blocks(since=START + 29.5, until=START + 30.5) for key in keys_of(block)]
    assert [trace_id for _, trace_id in found] == [one.trace_id for one in calls[295:305]]
    assert (len(counted.opened), counted.groups) == (2, [9, 0])
    query.close()


def test_a_block_is_small_where_its_rows_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "BLOCK_BYTES", 100_000)
    rows = [row(float(number), f"{number:03}") | {"input": f"[{'1,' * 5000}{number}]"} for number in range(100)]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), tmp_path / "large.parquet", use_dictionary=False)
    sizes = [block.num_rows for block in read(tmp_path / "large.parquet", Window())]
    assert sum(sizes) == 100
    assert max(sizes) <= 10


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and then nothing")
    for name in ("bad.parquet", "gone.parquet"):
        with pytest.raises(Unavailable, match="cannot be read"):
            list(read(tmp_path / name, Window()))
