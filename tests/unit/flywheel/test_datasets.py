"""Dataset versions from a real journal: what is in them, what they are called, where each row is from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from headrace.base.clock import ManualClock
from headrace.flywheel.datasets import Datasets, identity
from headrace.store import audit, datasets, feedbacks, plans
from headrace.store.db import Database
from headrace.store.journal.archive import Archive
from headrace.store.journal.query import JournalQuery
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName
from headrace.types.dataset import CurationRule, DatasetVersion, Recipe, Split
from headrace.types.errors import BadInput, NotFound, Unavailable
from tests.control_samples import START, call, corrected, down, endpoint, open_database, open_journal, said, up, write


@dataclass
class Shelf:
    database: Database
    datasets: Datasets
    clock: ManualClock
    journal: Any
    folder: Path

    def hold(self, calls: list[Call], items: list[Feedback]) -> None:
        write(self.journal, calls)
        with self.database.write() as conn:
            feedbacks.put(conn, items)

    def make(self, **recipe: Any) -> DatasetVersion:
        return self.datasets.make(Recipe(**({"model": "digits"} | recipe)))

    def rows(self, version: DatasetVersion) -> list[dict[str, Any]]:
        return [row for split in Split for row in self.datasets.rows(version, split)]


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with open_database(tmp_path) as database, open_journal(tmp_path / "journal") as journal:
        with database.write() as conn:
            plans.publish(conn, [endpoint(), endpoint("other", "other")], reason="test", now=START)
        query, clock = JournalQuery(tmp_path / "journal"), ManualClock(START + 1000)
        folder = tmp_path / "datasets"
        made = Datasets(database=database, query=query, folder=folder, clock=clock)
        yield Shelf(database, made, clock, journal, folder)
        query.close()


def life(first: int, count: int, *, users: int = 20) -> tuple[list[Call], list[Feedback]]:
    """Every second call is praised, every fourth corrected, every fourth complained of."""
    calls = [call(n, unit=f"user{n % users}", input=[[float(n), 1.0]]) for n in range(first, first + count)]
    items = [up(c, rater=c.unit) for c in calls[::2]]
    items += [corrected(c, 42, rater=c.unit) for c in calls[1::4]] + [down(c, rater=c.unit) for c in calls[3::4]]
    return calls, items


def test_what_is_in_a_version(shelf: Shelf) -> None:
    shelf.hold(*life(0, 200))
    made = shelf.make()
    assert (made.name, made.number, made.model, made.parents) == ("digits", 1, "digits", ())
    assert made.id == identity(made) == identity(shelf.datasets.get("digits"))
    assert sum(made.count(split) for split in Split) == made.rows == 200
    assert made.count(Split.CRITIQUE) == 50
    assert made.corrected == 50
    labelled = [row for split in (Split.TRAIN, Split.VALIDATION) for row in shelf.datasets.rows(made, split)]
    assert {row["rule"] for row in labelled} == {"praise", "corrections"}
    assert all(row["label"] == (42 if row["rule"] == "corrections" else row["output"]) for row in labelled)
    assert made.columns["inputs"] == "list[float]"
    assert made.report is not None
    assert made.report.splits == {file.split: file.rows for file in made.files}
    shelf.datasets.verify(made)


def test_the_same_words_are_the_same_version(shelf: Shelf) -> None:
    shelf.hold(*life(0, 60))
    one = shelf.make(golden=1000)
    shelf.clock.move(100)
    assert shelf.make(golden=1000) == one
    assert len(shelf.datasets.all()) == 1
    other = shelf.make(rules=(CurationRule(name="praise", on=False),), golden=1000)
    assert (other.number, other.parents, other.rows) == (2, (one.id,), 30)


def test_the_row_hash_does_not_depend_on_the_order_or_the_files(shelf: Shelf) -> None:
    shelf.hold(*life(0, 40))
    whole = shelf.make(held=0.0, validation=0.0, name="whole")
    parts = shelf.make(held=0.3, validation=0.2, name="parts", golden=1000)
    assert whole.row_hash == parts.row_hash
    assert whole.id != parts.id


def test_the_golden_set_is_frozen_and_the_rest_of_the_held_out_is_fresh(shelf: Shelf) -> None:
    shelf.hold(*life(0, 300))
    one = shelf.make(golden=10)
    golden = one.file(Split.GOLDEN)
    assert golden is not None
    assert golden.rows >= 10
    shelf.hold(*life(1000, 300))
    two = shelf.make(golden=10)
    assert two.file(Split.GOLDEN) == golden
    assert one.count(Split.FRESH) == 0 < two.count(Split.FRESH)
    assert two.parents == (one.id,)
    frozen = {row["row"] for row in shelf.datasets.rows(two, Split.GOLDEN)}
    assert all(
        row["row"] not in frozen for split in (Split.TRAIN, Split.FRESH) for row in shelf.datasets.rows(two, split)
    )
    anew = shelf.datasets.freeze("digits@2", actor="ann")
    assert anew.file.rows == golden.rows + two.count(Split.FRESH)
    shelf.hold(*life(2000, 100))
    three = shelf.make()
    assert three.file(Split.GOLDEN) == anew.file
    with shelf.database.read() as conn:
        told = [entry.action for entry in audit.entries(conn)]
    assert sorted(told) == ["dataset.frozen", "dataset.frozen", "dataset.made", "dataset.made", "dataset.made"]


def test_too_few_held_out_rows_are_not_frozen(shelf: Shelf) -> None:
    shelf.hold(*life(0, 60))
    shelf.make(golden=1000)
    assert shelf.datasets.golden("digits") is None


def test_rows_of_a_batch_and_corrections_that_fit_none(shelf: Shelf) -> None:
    two = call(1, rows=2, input=[[1.0, 2.0], [3.0, 4.0]], output=[1, 2])
    odd = call(2, rows=2, input=[[5.0, 6.0], [7.0, 8.0]], output=[1, 2])
    shelf.hold([two, odd], [corrected(two, [7, 8]), corrected(odd, 9), up(odd)])
    made = shelf.make(held=0.0, validation=0.0)
    rows = shelf.rows(made)
    assert [(row["inputs"], row["label"], row["index"]) for row in rows if row["trace_id"] == two.trace_id] == [
        ([1.0, 2.0], 7, 0),
        ([3.0, 4.0], 8, 1),
    ]
    assert made.report is not None
    assert made.report.misfits == 1


def test_whose_and_when(shelf: Shelf) -> None:
    calls = [
        call(0),
        call(1, endpoint="other"),
        call(2, status=CallStatus.FAILED, output=None),
        call(3, status=CallStatus.FAILED, output=None),
        call(4, shadow_of="tr-1"),
        call(5, time=START + 500),
        call(6, time=START + 500.0004),
    ]
    shelf.hold(
        [replace(c, input=[[c.time, 0.0]]) for c in calls],
        [corrected(c, 1) for c in calls if c != calls[3]] + [down(calls[3])],
    )
    made = shelf.make(until=START + 500.0004, held=0.0, validation=0.0)
    assert [row["trace_id"] for row in shelf.rows(made)] == [calls[n].trace_id for n in (0, 2, 5)]


def test_the_archive_and_what_is_not_in_it_yet(shelf: Shelf, tmp_path: Path) -> None:
    calls, items = life(0, 100)
    shelf.hold(calls, items)
    before = shelf.make(golden=1000)
    shelf.journal.close()
    Archive(tmp_path / "journal", retention_seconds=1e12, clock=ManualClock(START + 2000)).turn(None)
    with open_journal(tmp_path / "journal", "again") as later:
        write(later, [call(500, input=[[9.0, 9.0]])])
        with shelf.database.write() as conn:
            feedbacks.put(conn, [corrected(call(500), 3)])
        after = shelf.make(golden=1000)
    found = shelf.datasets.diff(before.id, after.id)
    assert (found.added, found.removed, found.changed, found.same) == (1, 0, 0, before.rows)
    assert found.added_rows[0].trace_id == call(500).trace_id


def test_what_a_person_took_back_is_not_learned(shelf: Shelf) -> None:
    one, two = call(1, input=[[1.0, 1.0]]), call(2, input=[[2.0, 2.0]])
    shelf.hold([one, two], [corrected(one, 7), corrected(two, 8)])
    before = shelf.make(held=0.0, validation=0.0)
    with shelf.database.write() as conn:
        feedbacks.put(conn, [replace(corrected(one, None, after=9.0), withdrawn=True), corrected(two, 9, after=9.0)])
    after = shelf.make(held=0.0, validation=0.0)
    found = shelf.datasets.diff("digits@1", "digits@2")
    assert [row.trace_id for row in found.removed_rows] == [one.trace_id]
    assert [(c.trace_id, c.before["label"], c.after["label"]) for c in found.changed_rows] == [(two.trace_id, 8, 9)]
    assert (before.rows, after.rows) == (2, 1)


def test_where_a_row_is_from(shelf: Shelf) -> None:
    one = call(1)
    shelf.hold([one], [corrected(one, 7, rater="bob"), said(one, FeedbackName.COMMENT, "no", rater="bob", after=2.0)])
    with shelf.database.write() as conn:
        feedbacks.put(conn, [corrected(one, 8, rater="bob", after=5.0)])
    made = shelf.make(held=0.0, validation=0.0)
    (row,) = shelf.rows(made)
    for name in (row["row"], one.trace_id):
        found = shelf.datasets.where_from("digits", name)
        assert found.call == one
        assert found.origin.raters == ("bob",)
        assert found.origin.feedback == tuple(sorted(w.id for w in found.words if w.value != 7))
        assert [word.value for word in found.words] == [7, "no", 8], "what was said before is kept"
    assert shelf.datasets.containing(one.trace_id) == (made,)
    assert shelf.datasets.containing(call(2).trace_id) == ()
    with pytest.raises(NotFound, match="no row 'row_0'"):
        shelf.datasets.where_from("digits", "row_0")


def test_names_of_versions(shelf: Shelf) -> None:
    shelf.hold(*life(0, 40))
    made = shelf.make()
    for name in ("digits", "digits@1", made.id, made.id[:12]):
        assert shelf.datasets.get(name) == made
    for name in ("nix", "digits@2", "ds_00000000", "ds_"):
        with pytest.raises(NotFound) as refused:
            shelf.datasets.get(name)
        assert refused.value.field == "dataset"


@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        ({"held": 1.0}, "held"),
        ({"held": 0.6, "validation": 0.4}, "held"),
        ({"validation": -0.1}, "validation"),
        ({"golden": 0}, "golden"),
        ({"since": 5.0, "until": 5.0}, "since"),
        ({"name": "a@b"}, "name"),
        ({"name": "ds_1"}, "name"),
        ({"model": "nix"}, "model"),
        ({"endpoint": "other"}, "endpoint"),
        ({"since": START + 1e6}, "model"),
        ({"rules": (CurationRule(name="magic"),)}, "rules"),
        (
            {
                "rules": (CurationRule(name="corrections", on=False), CurationRule(name="praise", on=False)),
                "until": START + 0.05,
            },
            "rules",
        ),
    ],
)
def test_recipes_that_make_no_sense(shelf: Shelf, recipe: dict[str, Any], field: str) -> None:
    calls = [call(0), call(10)]
    shelf.hold(calls, [said(calls[0], FeedbackName.COMMENT, "hm"), up(calls[1])])
    with pytest.raises((BadInput, NotFound)) as refused:
        shelf.make(**recipe)
    assert refused.value.field == field


def test_a_damaged_file_is_named(shelf: Shelf) -> None:
    shelf.hold(*life(0, 40))
    made = shelf.make()
    path = shelf.datasets.path(made, Split.TRAIN)
    path.write_bytes(path.read_bytes().replace(b"42", b"43"))
    with pytest.raises(Unavailable, match=r"train\.jsonl"):
        shelf.datasets.verify(made)
    path.unlink()
    with pytest.raises(Unavailable, match="not in"):
        list(shelf.datasets.rows(made, Split.TRAIN))
    with pytest.raises(NotFound) as refused:
        shelf.datasets.path(made, Split.FRESH)
    assert refused.value.field == "split"


def test_nothing_half_written_is_left(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.hold(*life(0, 40))

    def fails(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("headrace.store.dataset_files.os.fsync", fails)
    with pytest.raises(OSError, match="disk full"):
        shelf.make()
    assert list((shelf.folder / "files").iterdir()) == []
    assert shelf.datasets.all() == ()


def test_what_mlflow_was_not_told_of(shelf: Shelf) -> None:
    shelf.hold(*life(0, 40))
    made = shelf.make()
    with shelf.database.write() as conn:
        assert datasets.unlisted(conn) == (made,)
        datasets.mark_listed(conn, made.id, START)
        assert datasets.unlisted(conn) == ()


def test_of_outputs_by_name_the_first_is_the_answer(shelf: Shelf) -> None:
    scores = {"label": [4], "probabilities": [[0.1, 0.9]]}
    one, two = call(1, output=scores), call(2, input=[[2.0, 2.0]], output=scores)
    made_up = call(3, input=[[3.0, 3.0]], output=scores, protocol="program")
    shelf.hold([one, two, made_up], [up(one), corrected(two, {"label": [7]}), up(made_up)])
    rows = shelf.rows(shelf.make(held=0.0, validation=0.0))
    assert [(row["output"], row["label"]) for row in rows] == [(4, 4), (4, 7), (scores, scores)]
