"""The review queue: what is drawn, who sees it, what reviewers' words do, what they say of all answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headrace.base.clock import ManualClock
from headrace.flywheel.datasets import Datasets
from headrace.flywheel.review import Reviews, needed
from headrace.flywheel.rightness import rightness
from headrace.store import feedbacks, plans, reviews
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.types.call import Call, CallStatus
from headrace.types.dataset import Recipe
from headrace.types.errors import BadInput, NotFound
from headrace.types.review import ReviewState, Why
from tests.control_samples import START, call, corrected, endpoint, open_database, open_journal, write


@dataclass
class Desk:
    database: Database
    query: JournalQuery
    reviews: Reviews
    journal: Any
    clock: ManualClock
    folder: Path


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_database(tmp_path) as database, open_journal(tmp_path / "journal") as journal:
        with database.write() as conn:
            plans.publish(conn, [endpoint()], reason="test", now=START)
        query, clock = JournalQuery(tmp_path / "journal"), ManualClock(START + 1000)
        yield Desk(database, query, Reviews(database=database, query=query, clock=clock), journal, clock, tmp_path)
        query.close()


def calls(count: int, *, wrong: int = 0) -> list[Call]:
    """The truth is 1; the first `wrong` answers are 2."""
    return [call(n, input=[[float(n)]], output=[2 if n < wrong else 1]) for n in range(count)]


def test_each_call_has_the_same_chance_and_it_is_kept(desk: Desk) -> None:
    write(desk.journal, calls(200))
    write(desk.journal, [call(900, status=CallStatus.FAILED), call(901, shadow_of="tr-1"), call(902, rows=2)])
    seen: Counter[str] = Counter()
    for _ in range(60):
        made = desk.reviews.draw("digits", 40)
        assert (made.calls, made.drawn) == (200, 40)
        with desk.database.write() as conn:
            items = reviews.listed(conn, state=None, limit=1000)
            seen.update(item.trace_id for item in items if item.draw == made.id)
            conn.exec_driver_sql("DELETE FROM review")
        assert {item.propensity for item in items} == {0.2}
    assert set(seen) == {c.trace_id for c in calls(200)}, "each is drawn some time"
    assert max(seen.values()) <= 28, "and none much more often than twelve times in sixty"


def test_an_item_keeps_the_chance_of_its_first_draw(desk: Desk) -> None:
    write(desk.journal, calls(10))
    desk.reviews.draw("digits", 10)
    write(desk.journal, [call(n, input=[[0.0]]) for n in range(20, 110)])
    desk.reviews.draw("digits", 100)
    with desk.database.read() as conn:
        assert set(reviews.propensities(conn, [c.trace_id for c in calls(10)]).values()) == {1.0}


def test_labels_choices_undo_and_skip(desk: Desk) -> None:
    write(desk.journal, calls(30, wrong=3))
    desk.reviews.draw("digits", 30)
    first = desk.reviews.cases("ann", limit=5)
    assert len(first) == 5
    assert first[0].choices[0] == first[0].output
    assert set(first[0].choices) == {1, 2}
    one = first[0].item.trace_id
    desk.reviews.label(one, 7, "ann")
    assert one not in {case.item.trace_id for case in desk.reviews.cases("ann", limit=30)}
    with desk.database.read() as conn:
        (word,) = feedbacks.for_traces(conn, [one])[one]
    assert (word.value, word.rater, word.channel) == ([7], "reviewer:ann", "review")
    desk.clock.move(1)
    assert desk.reviews.undo(one, "ann").state is ReviewState.OPEN
    assert one in {case.item.trace_id for case in desk.reviews.cases("ann", limit=30)}
    desk.reviews.skip(one)
    assert one not in {case.item.trace_id for case in desk.reviews.cases("bob", limit=30)}
    assert desk.reviews.standing().skipped == 1


def test_a_fifth_is_seen_by_two(desk: Desk) -> None:
    write(desk.journal, calls(200))
    desk.reviews.draw("digits", 200)
    cases = desk.reviews.cases("ann", limit=200)
    twice = [case for case in cases if needed(case.item) == 2]
    assert 20 <= len(twice) <= 60
    for case in cases:
        desk.reviews.label(case.item.trace_id, 1, "ann")
    left = desk.reviews.cases("bob", limit=200)
    assert {case.item.trace_id for case in left} == {case.item.trace_id for case in twice}
    assert left[0].labels == {"reviewer:ann": 1}
    for number, case in enumerate(left):
        desk.reviews.label(case.item.trace_id, 1 if number % 4 else 2, "bob")
    found = desk.reviews.standing("digits")
    assert (found.waiting, found.done) == (0, 200)
    (agreement,) = found.pairs.values()
    assert agreement.cases == len(twice)
    assert agreement.share == pytest.approx(0.75, abs=0.03)


def test_the_share_of_right_answers(desk: Desk) -> None:
    write(desk.journal, calls(100, wrong=20))
    desk.reviews.draw("digits", 100)
    for case in desk.reviews.cases("ann", limit=100):
        desk.reviews.label(case.item.trace_id, 1, "ann")
    found = desk.reviews.standing().right
    assert found is not None
    assert found.mean == pytest.approx(0.8)
    assert found.low < 0.8 < found.high
    assert desk.reviews.standing("nix").right is None


def test_complaints_make_the_share_of_right_answers_surer(desk: Desk) -> None:
    """400 calls, a fifth of them wrong; most who got a wrong answer say so, and a few complain for nothing."""
    all_calls = calls(400, wrong=80)
    write(desk.journal, all_calls)
    with desk.database.write() as conn:
        told = [corrected(one, 1, rater=f"u{n}") for n, one in enumerate(all_calls[:80]) if n % 5]
        told += [corrected(one, 3, rater=f"v{n}") for n, one in enumerate(all_calls[80:]) if n % 40 == 0]
        feedbacks.put(conn, told)
    assert rightness(desk.database, desk.query, "digits", 0.0, START + 1000) is None, "nobody has looked yet"
    desk.reviews.draw("digits", 80)
    for case in desk.reviews.cases("ann", limit=80):
        desk.reviews.label(case.item.trace_id, 1, "ann")
    found = rightness(desk.database, desk.query, "digits", 0.0, START + 1000)
    assert found is not None
    assert (found.plain.rows, found.calls) == (80, 320)
    assert found.powered.low < 0.8 < found.powered.high
    assert found.powered.high - found.powered.low < found.plain.high - found.plain.low
    assert found.worth > 120, "as sure as half as many labels again"
    assert rightness(desk.database, desk.query, "nix", 0.0, START + 1000) is None


def test_disputes_come_first_and_a_reviewer_settles_them(desk: Desk) -> None:
    write(desk.journal, calls(20))
    one = calls(20)[5]
    with desk.database.write() as conn:
        feedbacks.put(conn, [corrected(one, 3, rater="u1"), corrected(one, 4, rater="u2")])
        feedbacks.put(conn, [corrected(calls(20)[6], 3, rater="u1")])
    shelf = Datasets(database=desk.database, query=desk.query, folder=desk.folder / "sets", clock=desk.clock)
    recipe = Recipe(model="digits", held=0.0, validation=0.0)
    before = shelf.make(recipe)
    desk.reviews.draw("digits", 20)
    (case, *_) = desk.reviews.cases("ann", limit=20)
    assert (case.item.trace_id, case.item.why, case.item.propensity) == (one.trace_id, Why.DISPUTED, None)
    assert case.choices[:3] == (1, 3, 4)
    assert {word.rater for word in case.words} == {"u1", "u2"}
    assert desk.reviews.label(one.trace_id, 4, "ann").state is ReviewState.DONE
    found = shelf.diff(before.id, shelf.make(recipe).id)
    assert [(row.trace_id, row.rule) for row in found.added_rows] == [(one.trace_id, "review")]


def test_what_makes_no_sense_is_named(desk: Desk) -> None:
    write(desk.journal, calls(3))
    for asked, field in (
        (lambda: desk.reviews.draw("digits", 0), "count"),
        (lambda: desk.reviews.draw("digits", 10_000), "count"),
        (lambda: desk.reviews.draw("nix", 5), "endpoint"),
        (lambda: desk.reviews.draw("digits", 5, since=5.0, until=5.0), "since"),
        (lambda: desk.reviews.label("tr-1", 3, "ann"), "trace_id"),
        (lambda: desk.reviews.skip("tr-1"), "trace_id"),
        (lambda: desk.reviews.undo("tr-1", "ann"), "trace_id"),
    ):
        with pytest.raises((BadInput, NotFound)) as refused:
            asked()
        assert refused.value.field == field
