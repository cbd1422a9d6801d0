"""The data set in each format, with a hash that says what is in it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from headrace.base.clock import ManualClock
from headrace.flywheel.export import MANIFEST, Export, Exporter, _Content
from headrace.flywheel.selection import Format, Rating, Selection
from headrace.store import feedbacks, plans, versions
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.types.call import Call, CallStatus, Feedback
from headrace.types.dataset import DatasetVersion
from headrace.types.errors import BadInput, NotFound
from tests.control_samples import (
    START,
    call,
    corrected,
    down,
    endpoint,
    open_database,
    open_journal,
    up,
    version,
    write,
)


@dataclass
class Shelf:
    database: Database
    exporter: Exporter
    clock: ManualClock
    folder: Path
    journal: Any

    def hold(self, calls: list[Call], items: list[Feedback]) -> None:
        write(self.journal, calls)
        with self.database.write() as conn:
            feedbacks.put(conn, items)

    def export(self, **selection: Any) -> Export:
        out = self.folder / f"out{len(list(self.folder.iterdir()))}"
        out.mkdir()
        return self.exporter.export(Selection(**({"model": "digits"} | selection)), out)

    def rows(self, **selection: Any) -> list[dict[str, Any]]:
        made = self.export(**selection)
        return [json.loads(line) for line in made.path.read_text().splitlines()]


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    journal_folder, out = tmp_path / "journal", tmp_path / "out"
    out.mkdir()
    with open_database(tmp_path) as database, open_journal(journal_folder) as journal:
        with database.write() as conn:
            plans.publish(conn, [endpoint(), endpoint("other", "other")], reason="test", now=START)
            versions.put(conn, version(1, "unserved"))
        query, clock = JournalQuery(journal_folder), ManualClock(START + 1000)
        yield Shelf(database, Exporter(database=database, query=query, clock=clock), clock, out, journal)
        query.close()


def life(count: int = 20) -> tuple[list[Call], list[Feedback]]:
    calls = [call(n) for n in range(count)]
    items = [up(c) for c in calls[::4]] + [down(c) for c in calls[1::4]] + [corrected(c, 42) for c in calls[1::8]]
    return calls, items


def test_rows_in_order_of_time(shelf: Shelf) -> None:
    shelf.hold(*life())
    rows = shelf.rows()
    assert [r["trace_id"] for r in rows] == [call(n).trace_id for n in range(20)]
    assert rows[0]["label"] == rows[0]["output"] == 0
    assert (rows[1]["label"], rows[1]["corrected"], rows[1]["rating"]) == (42, True, False)
    assert rows[5]["label"] is None
    assert {r["model"] for r in rows} == {"digits"}


@pytest.mark.parametrize(
    ("rating", "count"), [(Rating.UP, 5), (Rating.DOWN, 5), (Rating.CORRECTED, 3), (Rating.ANY, 10), (None, 20)]
)
def test_ratings(shelf: Shelf, rating: Rating | None, count: int) -> None:
    shelf.hold(*life())
    assert len(shelf.rows(rating=rating)) == count


def test_dates_endpoint_and_what_is_left_out(shelf: Shelf) -> None:
    calls = [
        call(0),
        call(1, status=CallStatus.FAILED, output=None),
        call(2, status=CallStatus.FAILED, output=None),
        call(3, status=CallStatus.REJECTED, output=None, input=None),
        call(4, shadow_of="tr-1"),
        call(5, endpoint="other"),
        call(6, time=START + 500),
    ]
    shelf.hold(calls, [corrected(calls[2], 7)])
    assert [r["label"] for r in shelf.rows()] == [None, 7, None], "a failed call that a person corrected is worth much"
    assert len(shelf.rows(until=START + 400)) == 2
    assert len(shelf.rows(since=START + 400)) == 1
    assert len(shelf.rows(model="other", endpoint="other")) == 1


@pytest.mark.parametrize(
    ("selection", "field", "told"),
    [
        ({"model": "nix"}, "model", "digits, other, unserved"),
        ({"endpoint": "other"}, "endpoint", "digits"),
    ],
)
def test_unknown_names(shelf: Shelf, selection: dict[str, str], field: str, told: str) -> None:
    with pytest.raises(NotFound, match=told) as caught:
        shelf.export(**selection)
    assert caught.value.field == field


def test_a_model_without_calls_is_an_empty_data_set(shelf: Shelf) -> None:
    for wanted in Format:
        made = shelf.export(model="unserved", format=wanted)
        assert made.dataset.rows == 0
    assert pq.read_table(made.path).num_rows == 0


def test_csv(shelf: Shelf) -> None:
    calls = [call(0, input={"age": [30], "name": ['Ann "A", B']}), call(1, input={"age": [2.5], "name": ["é\nü"]})]
    shelf.hold(calls, [up(calls[0]), corrected(calls[1], 7)])
    made = shelf.export(format=Format.CSV)
    with made.path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(r["inputs.age"], r["inputs.name"]) for r in rows] == [("30", 'Ann "A", B'), ("2.5", "é\nü")]
    assert [(r["label"], r["rating"], r["corrected"]) for r in rows] == [("0", "true", "false"), ("7", "", "true")]
    assert "inputs" not in rows[0]


def test_parquet_has_types(shelf: Shelf) -> None:
    shelf.hold(*life())
    table = pq.read_table(shelf.export(format=Format.PARQUET).path)
    assert table.num_rows == 20
    kinds = {name: str(table.schema.field(name).type) for name in ("inputs", "label", "rating", "time", "version")}
    assert kinds == {
        "inputs": "list<element: double>", "label": "int64", "rating": "bool", "time": "double", "version": "int64",
    }  # fmt: skip
    assert table.column("inputs")[0].as_py() == [1.0, 2.0]
    assert table.column("label").null_count == 20 - 8


def test_parquet_of_mixed_values_keeps_them_as_json(shelf: Shelf) -> None:
    calls = [call(0), call(1)]
    shelf.hold(calls, [corrected(calls[0], 7), corrected(calls[1], "seven")])
    made = shelf.export(format=Format.PARQUET)
    assert pq.read_table(made.path).column("label").to_pylist() == ["7", '"seven"']
    assert made.dataset.columns["label"] == "json"


def test_the_id_says_what_is_in_it(shelf: Shelf) -> None:
    shelf.hold(*life())
    one = shelf.export()
    shelf.clock.move(3600)
    again = shelf.export()
    assert one.dataset.id == again.dataset.id, "the same data are the same version whenever exported"
    assert one.dataset.created != again.dataset.created
    assert one.dataset.files[0].sha256 == sha256(one.path.read_bytes()).hexdigest()
    assert (one.dataset.rows, one.dataset.corrected) == (20, 3)
    table = shelf.export(format=Format.CSV)
    assert table.dataset.row_hash == one.dataset.row_hash, "the rows are the same"
    assert table.dataset.id != one.dataset.id, "the files are not"
    less = shelf.export(until=call(19).time)
    assert less.dataset.row_hash != one.dataset.row_hash
    body = replace(one.dataset, id="", created=0.0)
    assert one.dataset.id == "ds_" + sha256(msgspec.json.encode(body, order="sorted")).hexdigest()


def hash_of(*labels: int) -> str:
    content = _Content()
    for label in labels:
        content.add({"inputs": [label], "label": label, "corrected": False})
    return content.row_hash


def test_the_row_hash_knows_which_rows_and_how_many_but_no_order() -> None:
    assert hash_of(1, 2, 3) == hash_of(3, 1, 2)
    assert len({hash_of(), hash_of(1), hash_of(1, 1), hash_of(1, 1, 1), hash_of(2)}) == 5


def test_misfits_are_counted(shelf: Shelf) -> None:
    one = call(0, rows=2, input=[[1, 2], [3, 4]], output=[1, 2])
    shelf.hold([one], [corrected(one, 5)])
    assert shelf.export().misfits == 1


def test_a_folder_with_its_manifest(shelf: Shelf, tmp_path: Path) -> None:
    shelf.hold(*life())
    folder = tmp_path / "sets" / "one"
    made = shelf.exporter.export_dataset(Selection(model="digits", format=Format.PARQUET), folder)
    assert sorted(p.name for p in folder.iterdir()) == ["data.parquet", MANIFEST]
    assert msgspec.json.decode((folder / MANIFEST).read_bytes(), type=DatasetVersion) == made
    with pytest.raises(BadInput, match="not an empty folder"):
        shelf.exporter.export_dataset(Selection(model="digits"), folder)
    with pytest.raises(NotFound):
        shelf.exporter.export_dataset(Selection(model="nix"), tmp_path / "sets" / "two")
    assert [p.name for p in (tmp_path / "sets").iterdir()] == ["one"], "nothing half-written is left"
