"""The export that streams: the same rows as the one that is whole, in pages, taken up where it broke off."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from headrace.base.clock import ManualClock
from headrace.flywheel import stream
from headrace.flywheel.export import Exporter
from headrace.flywheel.selection import Format, Rating, Selection, read_selection
from headrace.flywheel.stream import Streamer
from headrace.store import feedbacks, plans
from headrace.store.db import Database
from headrace.store.journal.archive import Archive
from headrace.store.journal.query import JournalQuery
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName
from headrace.types.endpoint import Endpoint
from headrace.types.errors import BadInput, NotFound
from headrace.types.model import Datatype, Layout, Signature, TensorSpec
from headrace.types.traffic import Reason
from tests.control_samples import START, call, corrected, down, endpoint, open_database, open_journal, said, up, write


@dataclass
class Shelf:
    database: Database
    query: JournalQuery
    streamer: Streamer
    exporter: Exporter
    folder: Path

    def hold(self, planes: dict[str, list[Call]], items: list[Feedback], *, archived: bool) -> None:
        for plane, calls in planes.items():
            with open_journal(self.folder / "journal", plane) as journal:
                write(journal, calls)
        if archived:
            clock = ManualClock(START + 2000)
            Archive(self.folder / "journal", retention_seconds=1e12, clock=clock).turn(None)
        with self.database.write() as conn:
            feedbacks.put(conn, items)

    def text(self, **selection: Any) -> str:
        return b"".join(self.streamer.stream(Selection(**({"model": "digits"} | selection)))).decode()

    def table(self, **selection: Any) -> list[dict[str, Any]]:
        chosen = Selection(**({"model": "digits", "format": Format.PARQUET} | selection))
        found: list[dict[str, Any]] = pq.read_table(io.BytesIO(b"".join(self.streamer.stream(chosen)))).to_pylist()
        return found

    def rows(self, **selection: Any) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text(**selection).splitlines()]

    def whole(self, **selection: Any) -> list[dict[str, Any]]:
        out = self.folder / f"out{len(list(self.folder.iterdir()))}"
        out.mkdir()
        made = self.exporter.export(Selection(**({"model": "digits"} | selection)), out)
        return [json.loads(line) for line in made.path.read_text().splitlines()]


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with open_database(tmp_path) as database:
        with database.write() as conn:
            plans.publish(conn, [endpoint(), _table("houses")], reason="test", now=START)
        query = JournalQuery(tmp_path / "journal")
        exporter = Exporter(database=database, query=query, clock=ManualClock(START))
        yield Shelf(database, query, Streamer(database=database, query=query), exporter, tmp_path)
        query.close()


def _table(name: str) -> Endpoint:
    made = endpoint(name, name)
    specs = tuple(TensorSpec(name=n, datatype=Datatype.FP64, shape=(-1,)) for n in ("rooms", "area"))
    signature = Signature(inputs=specs, outputs=made.variants[0].package.signature.outputs, layout=Layout.COLUMNS)
    variant = replace(made.variants[0], package=replace(made.variants[0].package, signature=signature))
    return replace(made, variants=(variant,))


def life() -> tuple[dict[str, list[Call]], list[Feedback]]:
    """Two planes at the same time, every shape that an input may have, every fate of a call."""
    odd: list[Any] = [
        [[1.0, 2.0]],
        [5],
        ['text, with "quotes"\nand lines 七'],
        {"a": [1], "b": ["x"]},
        {"a": 1},
        "alone",
        7,
        [{"a": 1}],
        [1, 2, 3],
        None,
    ]
    calls = [call(n, input=odd[n % len(odd)], output=[n]) for n in range(300)]
    calls += [call(400 + n, rows=2, input=[[n, 1], [n, 2]], output=[n, n + 1]) for n in range(20)]
    calls += [
        call(500, rows=2, input={"a": [1, 2], "b": [3, 4]}, output=[1, 2]),
        call(501, rows=3, input=[1], output=[1]),
    ]
    calls += [
        call(510, status=CallStatus.FAILED, output=None),
        call(511, status=CallStatus.FAILED, output=None),
        call(512, shadow_of="tr-1"),
        call(513, reason=Reason.GATE),
        call(514, endpoint="houses"),
        call(515, output={"label": "cat"}),
        call(516, output="cat"),
    ]
    items = [up(c) for c in calls[::5]] + [down(c, rater="bob") for c in calls[1::5]]
    items += [corrected(c, [1, 2] if c.rows == 2 else 42) for c in calls[2::5]] + [corrected(calls[-7], "x")]
    items += [said(calls[3], FeedbackName.COMMENT, 'hm, "no"'), corrected(calls[4], {"deep": [1, None]})]
    items += [replace(up(calls[6]), withdrawn=True, value=None)]
    return {"one": calls[::2], "two": calls[1::2]}, items


@pytest.mark.parametrize("archived", [True, False])
@pytest.mark.parametrize("rating", [None, *Rating])
def test_the_same_rows_as_the_whole(shelf: Shelf, archived: bool, rating: Rating | None) -> None:
    shelf.hold(*life(), archived=archived)
    for more in ({}, {"since": START + 5.0, "until": START + 20.0}, {"endpoint": "digits"}):
        rows = shelf.rows(rating=rating, **more)
        assert rows == shelf.whole(rating=rating, **more)
        assert rows


def test_what_is_archived_and_what_is_not_are_one_order(shelf: Shelf) -> None:
    planes, items = life()
    shelf.hold({"one": planes["one"]}, items, archived=True)
    shelf.hold({"two": planes["two"]}, [], archived=False)
    rows = shelf.rows()
    assert rows == shelf.whole()
    assert [r["time"] for r in rows] == sorted(r["time"] for r in rows)


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_pages_make_the_whole(shelf: Shelf, limit: int) -> None:
    shelf.hold(*life(), archived=True)
    whole, rows, after = shelf.rows(rating=Rating.ANY), [], None
    while page := shelf.rows(rating=Rating.ANY, limit=limit, after=after):
        rows += page
        after = (page[-1]["time"], page[-1]["trace_id"])
    assert rows == whole


def test_csv(shelf: Shelf) -> None:
    shelf.hold(*life(), archived=True)
    table = list(csv.DictReader(io.StringIO(shelf.text(format=Format.CSV, rating=Rating.CORRECTED))))
    rows = shelf.rows(rating=Rating.CORRECTED)
    assert len(table) == len(rows)
    for line, row in zip(table, rows, strict=True):
        assert line["trace_id"] == row["trace_id"]
        assert json.loads(line["inputs"]) == row["inputs"]
        assert line["corrected"] == json.dumps(row["corrected"])
    assert not shelf.text(format=Format.CSV, after=(START, "")).startswith("trace_id"), (
        "a page that goes on has no head"
    )


def test_named_inputs_are_columns_of_a_csv(shelf: Shelf) -> None:
    calls = [
        call(1, endpoint="houses", input={"rooms": [3], "area": [70.5]}),
        call(2, endpoint="houses", input=[{"rooms": 4}]),
        call(3, endpoint="houses", input={"rooms": [5], "colour": ["red"]}),
    ]
    shelf.hold({"one": calls}, [], archived=True)
    found = list(csv.DictReader(io.StringIO(shelf.text(model="houses", format=Format.CSV))))
    assert [(r["inputs.rooms"], r["inputs.area"]) for r in found] == [("3", "70.5"), ("4", ""), ("", "")]
    assert [bool(r["inputs"]) for r in found] == [False, False, True], "what has other names stays as it is"


def test_nothing_and_nobody(shelf: Shelf) -> None:
    assert shelf.text() == ""
    assert shelf.text(format=Format.CSV).startswith("trace_id,time,")
    with pytest.raises(NotFound) as refused:
        shelf.streamer.stream(Selection(model="nix"))
    assert refused.value.field == "model"


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"after": "5"}, "after"),
        ({"after": "x,tr-1"}, "after"),
        ({"limit": "0"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "5", "format": "parquet"}, "format"),
    ],
)
def test_pages_that_are_none(parameters: dict[str, str], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_selection({"model": "digits"} | parameters)
    assert refused.value.field == field
    found = read_selection({"model": "digits", "after": "5.25,tr-1", "limit": "7"})
    assert (found.after, found.limit, found.paged) == ((5.25, "tr-1"), 7, True)


@pytest.mark.parametrize("rating", [None, Rating.ANY])
@pytest.mark.parametrize("group", [7, 10_000])
def test_parquet_has_the_same_rows_a_group_at_a_time(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, group: int, rating: Rating | None
) -> None:
    monkeypatch.setattr(stream, "GROUP_ROWS", group)
    shelf.hold(*life(), archived=True)
    found = shelf.table(rating=rating)
    for row in found:
        row |= {name: row[name] and json.loads(row[name]) for name in ("inputs", "output", "label")}
    assert found == shelf.rows(rating=rating)
    assert len(found) > 50


def test_a_parquet_of_nothing_is_one(shelf: Shelf) -> None:
    assert shelf.table() == []
