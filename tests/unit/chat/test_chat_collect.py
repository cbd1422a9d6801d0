"""Ratings become feedback once, on the right trace, also when they change, go, come early, or the database fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from headrace.base.clock import ManualClock
from headrace.base.secret import Secret
from headrace.chat import collect
from headrace.chat.collect import ChatRatings
from headrace.chat.place import Connection
from headrace.store import chats, cursors
from headrace.types.errors import BadInput, UpstreamError
from headrace.types.gateway import Spent
from tests.control_samples import call, open_database, open_journal, write


class PlayedApplication:
    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.away = False
        self.asked: list[str] = []
        self.source: str | None = None
        self.open = False
        self.connected = 0

    def rated(self) -> dict[str, float]:
        if self.away:
            raise UpstreamError("away")
        return {key: float(row["updated_at"]) for key, row in self.rows.items()}

    def rating(self, feedback_id: str) -> dict[str, Any] | None:
        self.asked.append(feedback_id)
        return self.rows.get(feedback_id)

    def people(self) -> dict[str, str]:
        return {"u1": "ann@example.com"}

    def function(self) -> dict[str, Any] | None:
        return None if self.source is None else {"content": self.source, "is_active": True}

    def put_function(self, source: str, *, old: dict[str, Any] | None) -> None:
        self.source = source

    def open_sign_up(self) -> None:
        self.open = True

    def connect(self) -> None:
        self.connected += 1


class Bench:
    def __init__(self, folder: Path, held: ExitStack) -> None:
        self.clock = ManualClock()
        self.app = PlayedApplication()
        self.database = held.enter_context(open_database(folder))
        self.journal = held.enter_context(open_journal(folder / "journal"))
        self.folder = folder / "journal"
        self.said: list[dict[str, Any]] = []
        self.refuse: Exception | None = None
        secret = Secret("s")
        self.connection: Connection | None = Connection(
            url="http://chat", password=secret, session=secret, users=secret, bell=secret
        )
        self.ratings = self.make()

    def make(self) -> ChatRatings:
        return ChatRatings(
            connection=lambda: self.connection,
            reach=lambda _: self.app,
            say=self.say,
            database=self.database,
            folder=self.folder,
            clock=self.clock,
            retention_seconds=1e6,
        )

    def say(self, body: dict[str, Any]) -> None:
        if self.refuse:
            raise self.refuse
        self.said.append(body)

    def answer(self, number: int, message: str, **spent: Any) -> str:
        made = call(number, spent=Spent(message=message, **spent))
        write(self.journal, [made])
        return made.trace_id

    def rate(self, key: str, message: str, *, age: float = 10.0, **data: Any) -> None:
        self.app.rows[key] = {
            "id": key,
            "user_id": "u1",
            "type": "rating",
            "updated_at": int(self.clock.now() - age),
            "data": data,
            "meta": {"message_id": message},
        }

    def look(self) -> None:
        self.ratings.ring()
        self.ratings.turn()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as held:
        yield Bench(tmp_path, held)


def test_a_thumb_reaches_its_trace_once(bench: Bench) -> None:
    trace = bench.answer(1, "m1")
    bench.answer(2, "m2", task="title_generation")
    bench.rate("f1", "m1", rating=-1, comment="wrong")
    bench.look()
    bench.look()
    assert bench.said == [
        {"trace_id": trace, "rater": "ann@example.com", "user_rating": False, "comment": "wrong"},
    ]
    assert bench.app.asked == ["f1"], "what has not changed is not fetched again"
    bench.ratings = bench.make()  # the control plane was restarted
    bench.look()
    assert len(bench.said) == 1
    with bench.database.read() as conn:
        assert chats.trace_of(conn, "m2") == "", "a title is no answer"


def test_the_last_call_of_an_answer_is_its_trace(bench: Bench) -> None:
    bench.answer(1, "m1")
    last = bench.answer(2, "m1")
    bench.rate("f1", "m1", rating=1)
    bench.look()
    assert bench.said[0]["trace_id"] == last


def test_an_edit_is_said_and_a_deletion_takes_back(bench: Bench) -> None:
    trace = bench.answer(1, "m1")
    bench.rate("f1", "m1", rating=-1, comment="wrong")
    bench.look()
    bench.clock.move(30)
    bench.rate("f1", "m1", rating=1)
    bench.look()
    assert bench.said[1] == {
        "trace_id": trace,
        "rater": "ann@example.com",
        "user_rating": True,
        "withdraw": ["comment"],
    }
    del bench.app.rows["f1"]
    bench.look()
    bench.look()
    assert bench.said[2:] == [{"trace_id": trace, "rater": "ann@example.com", "withdraw": ["user_rating"]}]


def test_a_change_within_the_same_second_is_seen(bench: Bench) -> None:
    bench.answer(1, "m1")
    bench.rate("f1", "m1", rating=-1, age=0)
    bench.look()
    bench.look()
    assert len(bench.said) == 1, "the same word is not said twice"
    bench.app.rows["f1"]["data"] = {"rating": 1}
    bench.clock.move(collect.SETTLED_SECONDS)
    bench.ratings.turn()
    assert [body["user_rating"] for body in bench.said] == [False, True]


def test_a_rating_waits_for_its_answer_and_not_for_ever(bench: Bench) -> None:
    bench.rate("f1", "m1", rating=1)
    bench.look()
    assert (bench.said, bench.ratings.state.waiting) == ([], 1)
    bench.answer(1, "m1")
    bench.clock.move(collect.SETTLED_SECONDS)
    bench.ratings.turn()
    assert len(bench.said) == 1
    bench.rate("f2", "never", rating=1)
    bench.clock.move(collect.YOUNG_SECONDS)
    bench.look()
    bench.look()
    assert (bench.ratings.state.waiting, bench.ratings.state.refused) == (0, 1)


def test_while_somebody_is_away_nothing_is_lost_and_a_refusal_is_counted(bench: Bench) -> None:
    bench.answer(1, "m1")
    bench.rate("f1", "m1", rating=1)
    bench.refuse = UpstreamError("no data plane")
    with pytest.raises(UpstreamError):
        bench.look()
    bench.refuse = None
    bench.look()
    assert len(bench.said) == 1
    bench.app.away = True
    bench.look()
    assert (bench.ratings.state.connected, bench.ratings.state.error) == (False, "away")
    bench.app.away, bench.refuse = False, BadInput("too old")
    bench.clock.move(30)
    bench.rate("f1", "m1", rating=-1)
    bench.look()
    bench.look()
    assert bench.ratings.state.refused == 1


def test_prepares_the_application_once_and_leaves_nothing_behind(bench: Bench) -> None:
    bench.look()
    assert bench.app.open
    assert bench.app.connected == 1
    assert bench.app.source == collect.EVENT.read_text()
    bench.app.source = None
    bench.look()
    assert bench.app.source is None, "who removes it on purpose is not overruled until the next start"
    with bench.database.read() as conn:
        before = cursors.all(conn)
    bench.answer(1, "m1")
    bench.look()
    with bench.database.read() as conn:
        assert "chat" in cursors.all(conn) | before
    bench.connection = None
    bench.look()
    with bench.database.read() as conn:
        assert "chat" not in cursors.all(conn), "the journal keeps nothing for what is not there"
