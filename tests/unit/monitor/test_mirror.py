"""What MLflow gets, and that nothing is lost on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.base.clock import ManualClock
from headrace.monitor import mirror as room
from headrace.monitor.mirror import FEW, LINGER_SECONDS, MANY, TRIES, Mirror, Pace, Sampling, sampled
from headrace.store import cursors, feedbacks
from headrace.store.db import Database
from headrace.store.journal.records import encode_call
from headrace.store.journal.writer import Journal
from headrace.types.call import Call, CallStatus, Feedback
from headrace.types.errors import UpstreamError
from headrace.types.gateway import Spent
from tests.control_samples import (
    START,
    PlayedMlflow,
    call,
    corrected,
    down,
    open_database,
    open_journal,
    trace_id,
    up,
    write,
)


@dataclass
class Kept:
    """The journal's look-up."""

    by_id: dict[str, Call] = field(default_factory=dict)

    def call(self, trace_id: str) -> Call | None:
        return self.by_id.get(trace_id)


@dataclass
class Stage:
    folder: Path
    database: Database
    journal: Journal
    clock: ManualClock
    mlflow: PlayedMlflow = field(default_factory=PlayedMlflow)
    kept: Kept = field(default_factory=Kept)

    def mirror(self, sample: float = 1.0, chats: float = 1.0, most: float = 1e9) -> Mirror:
        return Mirror(
            sink=self.mlflow,
            database=self.database,
            folder=self.folder,
            calls=self.kept,
            clock=self.clock,
            sampling=Sampling(predictions=sample, chats=chats, most=most),
        )

    def called(self, *calls: Call) -> None:
        write(self.journal, calls)
        self.kept.by_id |= {c.trace_id: c for c in calls}

    def told(self, *items: Feedback) -> None:
        with self.database.write() as conn:
            feedbacks.put(conn, items)

    def unsent(self) -> int:
        with self.database.read() as conn:
            return len(feedbacks.unsent(conn))

    def settle(self, mirror: Mirror) -> None:
        mirror.turn()
        self.clock.move(LINGER_SECONDS)
        mirror.turn()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    folder = tmp_path / "journal"
    with open_database(tmp_path) as database, open_journal(folder) as journal:
        yield Stage(folder, database, journal, ManualClock(START))


@given(st.integers(0, 1 << 48), st.floats(0, 1), st.floats(0, 1))
def test_the_sample_is_stable_and_nested(number: int, one: float, other: float) -> None:
    trace, low, high = trace_id(number), min(one, other), max(one, other)
    assert sampled(trace, low) <= sampled(trace, high)
    assert not sampled(trace, 0.0)
    assert sampled(trace, 1.0)


def test_the_sample_has_its_size() -> None:
    hits = sum(sampled(trace_id(n), 0.05) for n in range(20_000))
    assert 900 < hits < 1100


def test_errors_always_go_and_refused_requests_do_not(stage: Stage) -> None:
    mirror = stage.mirror(sample=0.0)
    stage.called(*(call(n, status=status) for n, status in enumerate(CallStatus)))
    stage.settle(mirror)
    assert {c.status for c in stage.mlflow.traces.values()} == {CallStatus.FAILED, CallStatus.TIMEOUT, CallStatus.SHED}


def test_calls_go_in_batches_or_after_a_moment(stage: Stage) -> None:
    mirror = stage.mirror()
    stage.called(*(call(n) for n in range(FEW - 1)))
    mirror.turn()
    assert stage.mlflow.batches == []
    assert mirror.state.waiting == FEW - 1
    stage.called(call(FEW))
    mirror.turn()
    assert stage.mlflow.batches == [FEW]
    stage.called(call(FEW + 1))
    stage.settle(mirror)
    assert stage.mlflow.batches == [FEW, 1]
    assert mirror.state.traces == FEW + 1
    assert mirror.state.waiting == 0


def test_a_backlog_is_read_as_fast_as_it_is_taken(stage: Stage) -> None:
    mirror = stage.mirror()
    stage.called(*(call(n, input=None, output=None) for n in range(5000)))
    turns = 0
    while mirror.turn():
        turns += 1
    stage.settle(mirror)
    assert len(stage.mlflow.traces) == 5000
    assert max(stage.mlflow.batches) < MANY + room.READ_LIMIT
    assert turns >= 2


def test_mlflow_away_loses_nothing_and_reads_no_further(stage: Stage) -> None:
    mirror = stage.mirror()
    stage.mlflow.away = True
    for number in range(5):
        stage.called(*(call(number * 1000 + n) for n in range(1000)))
        stage.clock.move(10)
        with pytest.raises(UpstreamError):
            mirror.turn()
    assert mirror.state.failures == 5
    assert mirror.state.waiting < MANY + room.READ_LIMIT, "bounded: the journal holds the rest"
    assert mirror.state.behind_seconds > 0
    with stage.database.read() as conn:
        assert cursors.get(conn, "mirror") is None
    stage.mlflow.away = False
    while mirror.turn():
        pass
    stage.settle(mirror)
    assert len(stage.mlflow.traces) == 5000
    assert mirror.state.behind_seconds == 0


def test_a_restart_resumes_where_mlflow_stands(stage: Stage) -> None:
    first = stage.mirror()
    stage.called(*(call(n) for n in range(150)))
    first.turn()
    assert len(stage.mlflow.traces) == 150
    stage.called(*(call(n) for n in range(150, 200)))
    first.turn()  # read, not sent: too few, too early; then the process is killed
    second = stage.mirror()
    stage.settle(second)
    assert len(stage.mlflow.traces) == 200
    assert stage.mlflow.batches == [150, 50], "what was sent is not sent again"


def test_killed_between_sending_and_the_cursor_sends_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stage.mirror()
    stage.called(*(call(n) for n in range(150)))
    monkeypatch.setattr(first, "_save", lambda: None)
    first.turn()
    second = stage.mirror()
    stage.settle(second)
    assert stage.mlflow.batches == [150, 150], "at least once; MLflow keeps one"
    assert len(stage.mlflow.traces) == 150


def test_feedback_brings_its_call(stage: Stage) -> None:
    mirror = stage.mirror(sample=0.0)
    one, two = call(1), call(2)
    stage.called(one, two)
    stage.settle(mirror)
    assert not stage.mlflow.traces
    stage.told(up(one), corrected(one, 7))
    mirror.turn()
    assert set(stage.mlflow.traces) == {one.trace_id}
    assert {f.name for f in stage.mlflow.assessments.values()} == {"user_rating", "corrected_output"}
    assert stage.unsent() == 0
    assert mirror.state.assessments == 2


def test_chats_have_a_share_of_their_own_and_conversations_go_whole(stage: Stage) -> None:
    chats = [replace(call(n), spent=Spent(conversation=f"c{n % 20}")) for n in range(200)]
    stage.called(*chats, *(call(n) for n in range(200, 300)))
    stage.settle(stage.mirror(sample=0.0, chats=0.5))
    sent = {c.spent.conversation: 0 for c in stage.mlflow.traces.values() if c.spent}
    for c in stage.mlflow.traces.values():
        assert c.spent is not None, "predictions are none of them"
        sent[c.spent.conversation] += 1
    assert 4 < len(sent) < 16
    assert set(sent.values()) == {10}


def test_many_calls_make_the_share_smaller_and_conversations_stay_whole(stage: Stage) -> None:
    chats = [
        replace(call(n), time=START + n / 100, spent=Spent(conversation=f"c{n % 500}")) for n in range(6_000)
    ]  # 100 a second for a minute; 12 calls in each conversation
    failed = [replace(call(6_000 + n, status=CallStatus.FAILED), time=START + n) for n in range(60)]
    stage.called(*sorted((*chats, *failed), key=lambda c: c.time))
    mirror = stage.mirror(most=20.0)
    for _ in range(10):
        stage.settle(mirror)
    sent = Counter(c.spent.conversation for c in stage.mlflow.traces.values() if c.spent)
    assert 60 * 12 < sent.total() < 60 * 28
    assert sum(count == 12 for count in sent.values()) > 60, "those of the smaller share, from first to last"
    assert sum(c.status is CallStatus.FAILED for c in stage.mlflow.traces.values()) == 60


def test_few_calls_all_go(stage: Stage) -> None:
    stage.called(*(replace(call(n), time=START + n / 15) for n in range(90)))
    stage.settle(stage.mirror(most=20.0))
    assert len(stage.mlflow.traces) == 90


@given(st.lists(st.floats(0, 100), max_size=200), st.floats(0.1, 50))
def test_a_share_is_made_smaller_and_never_larger(times: list[float], most: float) -> None:
    pace = Pace(most)
    assert all(0 < pace.factor(time) <= 1 for time in times), "also where planes' calls are out of order"


def test_feedback_of_a_sampled_call_sends_no_second_trace(stage: Stage) -> None:
    mirror = stage.mirror(sample=1.0)
    one = call(1)
    stage.called(one)
    stage.settle(mirror)
    stage.told(up(one))
    mirror.turn()
    assert stage.mlflow.batches == [1]
    assert len(stage.mlflow.assessments) == 1


def test_a_changed_mind_is_sent_again(stage: Stage) -> None:
    mirror = stage.mirror()
    one = call(1)
    stage.called(one)
    stage.told(up(one))
    stage.settle(mirror)
    stage.told(replace(up(one), value=False, time=one.time + 60))
    mirror.turn()
    assert [f.value for f in stage.mlflow.assessments.values()] == [False]


def test_a_mind_changed_on_the_way_stays_unsent(stage: Stage) -> None:
    mirror = stage.mirror()
    one = call(1)
    stage.called(one)
    stage.told(up(one))
    taken = stage.mlflow.assess

    def slow(feedback: Feedback) -> None:
        taken(feedback)
        if feedback.value is True:
            stage.told(replace(feedback, value=False, time=feedback.time + 1))

    stage.mlflow.assess = slow  # type: ignore[method-assign]
    mirror.turn()
    assert stage.unsent() == 1
    mirror.turn()
    assert stage.unsent() == 0
    assert [f.value for f in stage.mlflow.assessments.values()] == [False]


def test_feedback_waits_for_mlflow(stage: Stage) -> None:
    mirror = stage.mirror(sample=0.0)
    one = call(1)
    stage.called(one)
    stage.told(down(one))
    stage.mlflow.away = True
    with pytest.raises(UpstreamError):
        mirror.turn()
    assert stage.unsent() == 1
    assert mirror.state.waiting == 1
    stage.mlflow.away = False
    mirror.turn()
    assert stage.unsent() == 0


def test_mlflow_goes_away_in_the_middle_of_feedback(stage: Stage) -> None:
    mirror = stage.mirror()
    calls = [call(n) for n in range(3)]
    stage.called(*calls)
    stage.settle(mirror)
    stage.told(*(up(c) for c in calls))
    taken = stage.mlflow.assess

    def dies(feedback: Feedback) -> None:
        stage.mlflow.away = feedback.trace_id == calls[1].trace_id
        taken(feedback)

    stage.mlflow.assess = dies  # type: ignore[method-assign]
    with pytest.raises(UpstreamError):
        mirror.turn()
    assert stage.unsent() == 2, "what was taken is marked; the rest waits"


def test_feedback_that_mlflow_hates_is_given_up_and_counted(stage: Stage) -> None:
    mirror = stage.mirror()
    one, two = call(1), call(2)
    stage.called(one, two)
    stage.settle(mirror)
    bad, good = corrected(one, "x"), up(two)
    stage.mlflow.hates = {bad.id}
    stage.told(bad, good)
    mirror.turn()
    assert set(stage.mlflow.assessments) == {good.id}, "it holds up nobody"
    assert mirror.state.refused == 0
    for _ in range(TRIES - 1):
        mirror.turn()
    assert mirror.state.refused == 1
    assert stage.unsent() == 0


def test_a_call_that_mlflow_never_takes_is_counted_and_passed(stage: Stage) -> None:
    mirror = stage.mirror()
    one, two = call(1), call(2)
    stage.mlflow.poison = {one.trace_id}
    stage.called(one, two)
    stage.settle(mirror)
    assert set(stage.mlflow.traces) == {two.trace_id}
    assert (mirror.state.traces, mirror.state.refused) == (1, 1)


def test_a_call_of_a_newer_version_is_counted_and_passed(stage: Stage) -> None:
    mirror = stage.mirror()
    newer = encode_call(call(1)).replace(b'"status":"ok"', b'"status":"melted"')
    assert stage.journal.append(newer)
    stage.called(call(2))
    stage.settle(mirror)
    assert set(stage.mlflow.traces) == {call(2).trace_id}
    assert (mirror.state.traces, mirror.state.refused, mirror.state.waiting) == (1, 1, 0)


def test_feedback_whose_call_is_gone_is_given_up(stage: Stage) -> None:
    mirror = stage.mirror(sample=0.0)
    stage.told(up(call(1)))
    mirror.turn()
    assert mirror.state.refused == 1
    assert stage.unsent() == 0


def test_the_cursor_moves_over_calls_that_are_not_sent(stage: Stage) -> None:
    mirror = stage.mirror(sample=0.0)
    stage.called(call(1))
    mirror.turn()
    with stage.database.read() as conn:
        first = cursors.get(conn, "mirror")
    stage.called(call(2))
    mirror.turn()
    with stage.database.read() as conn:
        assert cursors.get(conn, "mirror") == first, "a commit is a disk write: not for each call"
    stage.clock.move(room.SAVE_SECONDS)
    mirror.turn()
    with stage.database.read() as conn:
        assert cursors.get(conn, "mirror") != first
