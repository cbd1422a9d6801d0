"""Feedback, on both databases: the newest word of each person, sent once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete
from store_samples import feedback

from headrace.store import feedbacks
from headrace.store.db import Database
from headrace.store.migrate import migrate
from headrace.store.tables import feedback as table


def test_feedback_keeps_the_newest_word(database: Database) -> None:
    with database.write() as conn:
        assert feedbacks.put(conn, [feedback(1), feedback(1), feedback(2)]) == 2
        assert feedbacks.put(conn, [feedback(1, time=2.0)]) == 0, "the same word again"
        assert feedbacks.put(conn, [feedback(1, False, time=0.5)]) == 0, "an older word"
        assert feedbacks.put(conn, [feedback(1, False, time=3.0)]) == 1
        assert feedbacks.put(conn, []) == 0
        found = feedbacks.for_traces(conn, ["tr-1", "tr-2", "tr-9"])
    assert {t: [f.value for f in items] for t, items in found.items()} == {"tr-1": [False], "tr-2": [True]}


def test_feedback_is_sent_once_and_again_when_changed(database: Database) -> None:
    with database.write() as conn:
        feedbacks.put(conn, [feedback(1), feedback(2, time=2.0)])
        waiting = feedbacks.unsent(conn)
        assert [f.id for f in waiting] == ["f1", "f2"]
        feedbacks.put(conn, [feedback(2, False, time=5.0)])
        feedbacks.mark_sent(conn, waiting, 9.0)
        assert [f.id for f in feedbacks.unsent(conn)] == ["f2"], "changed after it was read"
        feedbacks.mark_sent(conn, feedbacks.unsent(conn), 9.0)
        assert feedbacks.unsent(conn) == ()
        feedbacks.put(conn, [feedback(1, False, time=6.0)])
        assert [f.id for f in feedbacks.unsent(conn)] == ["f1"]


def test_feedback_by_time_and_in_bulk(database: Database) -> None:
    many = [feedback(n, time=float(n)) for n in range(1200)]
    with database.write() as conn:
        assert feedbacks.put(conn, many) == 1200
        assert feedbacks.put(conn, many) == 0
        assert [f.id for f in feedbacks.between(conn, 3.0, 6.0)] == ["f3", "f4", "f5"]
        assert [f.id for f in feedbacks.recent(conn, limit=2)] == ["f1199", "f1198"]
        assert len(feedbacks.for_traces(conn, [f.trace_id for f in many])) == 1200


def test_a_word_that_was_confirmed_is_not_replaced_by_one_in_between(database: Database) -> None:
    with database.write() as conn:
        feedbacks.put(conn, [feedback(1, True, time=1.0)])
        feedbacks.mark_sent(conn, feedbacks.unsent(conn), 2.0)
        assert feedbacks.put(conn, [feedback(1, True, time=9.0)]) == 0
        assert feedbacks.unsent(conn) == (), "nothing new to tell"
        assert feedbacks.put(conn, [feedback(1, False, time=5.0)]) == 0
        assert [(f.value, f.time) for f in feedbacks.recent(conn)] == [(True, 9.0)]


def test_a_word_confirmed_while_it_was_on_its_way_is_not_sent_again(database: Database) -> None:
    with database.write() as conn:
        feedbacks.put(conn, [feedback(1, time=1.0)])
        waiting = feedbacks.unsent(conn)
        feedbacks.put(conn, [feedback(1, time=2.0)])
        feedbacks.mark_sent(conn, waiting, 3.0)
        assert feedbacks.unsent(conn) == ()


def test_one_is_not_true(database: Database) -> None:
    with database.write() as conn:
        feedbacks.put(conn, [feedback(1, True)])
        assert feedbacks.put(conn, [feedback(1, 1, time=2.0)]) == 1
        assert feedbacks.put(conn, [feedback(1, 1.0, time=3.0)]) == 1
        (found,) = feedbacks.recent(conn)
        assert type(found.value) is float


def test_a_trace_asked_for_twice_answers_once(database: Database) -> None:
    with database.write() as conn:
        feedbacks.put(conn, [feedback(1)])
        asked = ["tr-1", *(f"tr-x{n}" for n in range(600)), "tr-1"]
        assert feedbacks.for_traces(conn, asked) == {"tr-1": (feedback(1),)}
        assert feedbacks.for_traces(conn, []) == {}


def test_what_is_streamed_does_not_disturb_what_follows(database: Database) -> None:
    with database.write() as conn:
        feedbacks.put(conn, [feedback(n, time=float(n)) for n in range(3000)])
    with database.read() as conn:
        stream = feedbacks.between(conn, 0.0, 1e9)
        assert next(stream).id == "f0"
        assert len(feedbacks.recent(conn, limit=2000)) == 2000
        assert sum(1 for _ in stream) == 2999


# --- in whatever order it arrives

WORDS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([True, False, 1, 1.0, "7", None])), min_size=1, max_size=12
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder: Path = tmp_path_factory.mktemp("feedbacks")
    database = Database(f"sqlite:///{folder}/headrace.db")
    migrate(database)
    yield database
    database.close()


@settings(max_examples=60, deadline=None)
@given(words=WORDS, data=st.data())
def test_the_last_word_stands_in_whatever_order_they_arrive(
    small: Database, words: list[tuple[int, object]], data: st.DataObject
) -> None:
    said = [feedback(number, value, time=float(time)) for time, (number, value) in enumerate(words)]
    arriving = data.draw(st.permutations(said))
    cut = data.draw(st.integers(0, len(said)))
    with small.write() as conn:
        conn.execute(delete(table))
        feedbacks.put(conn, arriving[:cut])
        feedbacks.mark_sent(conn, feedbacks.unsent(conn), 1.0)
        sent = {f.id: f for f in feedbacks.recent(conn)}
        feedbacks.put(conn, arriving[cut:])
        assert feedbacks.put(conn, arriving) == 0
        found = {f.id: f for f in feedbacks.recent(conn)}
        unsent = {f.id for f in feedbacks.unsent(conn)}
    assert {i: repr(f) for i, f in found.items()} == {f.id: repr(f) for f in said}
    news = {i for i, f in found.items() if i not in sent or repr(sent[i].value) != repr(f.value)}
    assert news <= unsent <= set(found)


def test_what_was_replaced_is_kept_once_in_whatever_order_it_comes(database: Database) -> None:
    words = [feedback(1, value, time=float(time)) for time, value in enumerate((True, False, False, True), 1)]
    with database.write() as conn:
        feedbacks.put(conn, words[:2])
        feedbacks.put(conn, [words[3], words[2]])
        feedbacks.put(conn, words)
        found = feedbacks.history(conn, "tr-1")
    assert found[-1] == words[3]
    assert {f.value for f in found[:-1]} == {True, False} or [f.value for f in found[:-1]] == [False]
    assert len({(f.id, f.time) for f in found}) == len(found)
    assert [f.value for f in found if f.time == 2.0] == [False], "the word in between is in the history"


def test_what_was_taken_back_says_nothing_and_is_told(database: Database) -> None:
    with database.write() as conn:
        feedbacks.put(conn, [feedback(1, time=1.0), feedback(2, time=1.0)])
        feedbacks.mark_sent(conn, feedbacks.unsent(conn), 2.0)
        feedbacks.put(conn, [replace(feedback(1, None, time=3.0), withdrawn=True)])
        assert feedbacks.for_traces(conn, ["tr-1"]) == {}
        assert [f.withdrawn for f in feedbacks.unsent(conn)] == [True]
        assert [f.value for f in feedbacks.history(conn, "tr-1")] == [True, None]
        assert [f.id for f in feedbacks.recent(conn, name="comment")] == []
        feedbacks.put(conn, [feedback(1, False, time=4.0)])
        assert [f.value for f in feedbacks.for_traces(conn, ["tr-1"])["tr-1"]] == [False], "said anew"
