from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journal_samples import START, make_call, make_feedback, open_journal, write_calls

from headrace.base.clock import ManualClock
from headrace.base.ids import traceparent
from headrace.store.journal import archive as archive_module
from headrace.store.journal.archive import Archive, Turn
from headrace.store.journal.manifest import load_manifest
from headrace.store.journal.query import BATCH, JournalQuery, page_key
from headrace.store.journal.records import encode_call, encode_feedback
from headrace.store.journal.segments import delete_lock
from headrace.store.journal.writer import Journal
from headrace.types.call import Call, CallStatus
from headrace.types.errors import Unavailable


def make_archive(folder: Path, **changes: Any) -> Archive:
    return Archive(folder, **({"retention_seconds": 1e9, "clock": ManualClock(START)} | changes))


@pytest.fixture
def query_of() -> Iterator[Callable[[Path], JournalQuery]]:
    opened: list[JournalQuery] = []

    def make(folder: Path) -> JournalQuery:
        opened.append(JournalQuery(folder))
        return opened[-1]

    yield make
    for query in opened:
        query.close()


def key(call: Call) -> tuple[float, str]:
    return call.time, call.trace_id


# A journal: per step some calls in one plane, and perhaps a turn of the archive.
many = st.builds(
    dict,
    time=st.integers(0, 50).map(lambda n: START + n),
    endpoint=st.sampled_from(["digits", "iris"]),
    variant=st.sampled_from(["v1", "v2"]),
    status=st.sampled_from(CallStatus),
    unit=st.sampled_from(["a", "b"]),
)
journals = st.lists(
    st.tuples(st.lists(many, min_size=1, max_size=12), st.sampled_from(["p0", "p1"]), st.booleans()), max_size=6
)
bounds = st.none() | st.integers(-1, 52).map(lambda n: START + n)
wanted = st.fixed_dictionaries(
    {},
    optional={
        "since": bounds,
        "until": bounds,
        "endpoint": st.sampled_from([None, "digits", "iris", "no'such"]),
        "variant": st.sampled_from([None, "v1"]),
        "status": st.sampled_from([None, *CallStatus]),
        "unit": st.sampled_from([None, "b"]),
    },
)


def admits(call: Call, asked: dict[str, Any]) -> bool:
    given = {name: value for name, value in asked.items() if value is not None}
    since, until = given.pop("since", -1.0), given.pop("until", 1e12)
    return since <= call.time < until and all(getattr(call, name) == value for name, value in given.items())


def build(folder: Path, steps: list[tuple[list[dict[str, Any]], str, bool]]) -> list[Call]:
    calls: list[Call] = []
    archive = make_archive(folder, merge_bytes=4000)
    for rows, plane, turn in steps:
        fresh = [make_call(len(calls) + n, **row) for n, row in enumerate(rows)]
        write_calls(folder, fresh, plane, segment_bytes=4096)
        calls += fresh
        if turn:
            archive.turn(None)
    return calls


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=journals, asked=wanted, limit=st.integers(1, 30), newest_first=st.booleans())
def test_answers_are_those_of_a_list(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[list[dict[str, Any]], str, bool]],
    asked: dict[str, Any],
    limit: int,
    newest_first: bool,
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # many small files: the disk would take most of the time
        patch.setattr(os, "fdatasync", lambda _: None)
        calls = build(folder, steps)
    query = JournalQuery(folder)
    expected = sorted((call for call in calls if admits(call, asked)), key=key, reverse=newest_first)
    assert query.count(**asked) == len(expected)
    paged: list[Call] = []
    after = None
    while page := query.calls(**asked, limit=limit, newest_first=newest_first, after=after):
        assert len(page) <= limit
        paged += page
        after = page_key(page[-1])
    assert paged == expected
    span = {name: asked[name] for name in ("since", "until", "endpoint") if name in asked}
    scanned = [call for batch in query.scan(**span) for call in batch]
    assert scanned == sorted((call for call in calls if admits(call, span)), key=key)
    for call in calls:
        assert query.call(call.trace_id) == call
    query.close()


def test_an_empty_journal_has_no_answers(tmp_path: Path, query_of: Callable[[Path], JournalQuery]) -> None:
    query = query_of(tmp_path / "nowhere")
    assert query.calls() == []
    assert query.count() == 0
    assert query.call("tr-" + "0" * 32) is None
    assert list(query.scan()) == []


@pytest.mark.parametrize("archived", [False, True])
def test_what_was_asked_on_behalf_of_a_call(
    archived: bool, tmp_path: Path, query_of: Callable[[Path], JournalQuery]
) -> None:
    call = make_call(1, time=START, latency_ms=2000.0)
    spans = ["00f067aa0ba902b7", "10f067aa0ba902b7"]
    asked = [make_call(n + 2, time=START + n, parent=traceparent(call.trace_id, spans[n])) for n in range(2)]
    others = [make_call(9, time=START, parent=traceparent(asked[0].trace_id, spans[0])), make_call(10, time=START)]
    write_calls(tmp_path, [call, *others, *asked])
    if archived:
        make_archive(tmp_path).turn(None)
    assert query_of(tmp_path).asked_for(call) == asked


def test_feedback_on_a_trace_is_not_mistaken_for_the_call(
    tmp_path: Path, query_of: Callable[[Path], JournalQuery]
) -> None:
    journal = open_journal(tmp_path)
    call = make_call(5, time=START, error='{"call":{"trace_id":"tr-"')
    journal.append(encode_feedback(make_feedback(5)))
    journal.append(encode_call(make_call(6, parent=call.trace_id)))
    query = query_of(tmp_path)
    assert query.call(call.trace_id) is None
    journal.append(encode_call(call))
    assert query.call(call.trace_id) == call
    journal.close()


def test_a_long_scan_is_in_order_over_files_row_groups_and_raw_segments(
    tmp_path: Path, query_of: Callable[[Path], JournalQuery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "ROW_GROUP", 100)
    calls = [make_call(n) for n in range(12_000)]
    write_calls(tmp_path, calls[:6000:2], "p0", segment_bytes=1 << 18)
    write_calls(tmp_path, calls[1:6000:2], "p1", segment_bytes=1 << 18)
    make_archive(tmp_path).turn(None)
    write_calls(tmp_path, calls[6000:], "p0", segment_bytes=1 << 18)
    assert len(load_manifest(tmp_path).calls) > 1
    batches = list(query_of(tmp_path).scan())
    assert [call for batch in batches for call in batch] == calls
    assert {len(batch) for batch in batches} == {BATCH}


def test_a_scan_survives_the_archive_and_shows_one_moment(
    tmp_path: Path, query_of: Callable[[Path], JournalQuery]
) -> None:
    calls = [make_call(n) for n in range(4000)]
    archive = make_archive(tmp_path, merge_bytes=1 << 19)
    for start in range(0, 4000, 250):
        write_calls(tmp_path, calls[start : start + 250], segment_bytes=1 << 20)
        if start < 2000:
            archive.turn(None)
    batches = query_of(tmp_path).scan()
    seen = next(batches)
    assert archive.turn(None).merged > 0
    write_calls(tmp_path, [make_call(9000)])
    seen += [call for batch in batches for call in batch]
    assert seen == calls


def test_files_of_other_versions_are_read(tmp_path: Path, query_of: Callable[[Path], JournalQuery]) -> None:
    calls = [make_call(n) for n in range(6)]
    for number in range(3):
        write_calls(tmp_path, calls[number * 2 : number * 2 + 2])
    make_archive(tmp_path).turn(None)
    first, second, _ = (tmp_path / file.name for file in load_manifest(tmp_path).calls)
    older, newer = pq.read_table(first), pq.read_table(second)
    pq.write_table(older.drop_columns(["shadow_of", "rows"]), first)
    pq.write_table(newer.append_column("tokens", [[1, 2]]), second)
    query = query_of(tmp_path)
    assert query.calls(newest_first=False) == calls
    assert [call for batch in query.scan() for call in batch] == calls
    assert query.call(calls[0].trace_id) == calls[0]


def test_merging_files_of_two_versions_keeps_all_columns(
    tmp_path: Path, query_of: Callable[[Path], JournalQuery]
) -> None:
    calls = [make_call(n, shadow_of="x") for n in range(8)]
    for call in calls:
        write_calls(tmp_path, [call])
    make_archive(tmp_path, merge_bytes=1).turn(None)
    first = tmp_path / load_manifest(tmp_path).calls[0].name
    pq.write_table(pq.read_table(first).drop_columns(["shadow_of"]), first)
    assert make_archive(tmp_path).turn(None).merged == 8
    found = query_of(tmp_path).calls(newest_first=False)
    assert [call.shadow_of for call in found] == ["", *["x"] * 7]


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path, query_of: Callable[[Path], JournalQuery]) -> None:
    write_calls(tmp_path, [make_call(1)])
    make_archive(tmp_path).turn(None)
    (tmp_path / load_manifest(tmp_path).calls[0].name).unlink()
    with pytest.raises(Unavailable, match="archive cannot be read"):
        query_of(tmp_path).calls()


def test_an_archive_that_hangs_while_it_deletes_is_an_error(
    tmp_path: Path, query_of: Callable[[Path], JournalQuery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.store.journal.query.LOCK_SECONDS", 0.02)
    assert delete_lock(tmp_path).take()
    with pytest.raises(Unavailable, match="does not let go"):
        query_of(tmp_path).calls()


def test_a_turn_between_manifest_and_segments_takes_nothing_away(
    tmp_path: Path, query_of: Callable[[Path], JournalQuery], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race that would lose rows: the manifest is read, then the archive takes the segments away."""
    calls = [make_call(n) for n in range(10)]
    write_calls(tmp_path, calls)
    turned = []

    def load_then_turn(folder: Path) -> Any:
        manifest = load_manifest(folder)
        if not turned:
            turned.append(make_archive(folder).turn(None))
        return manifest

    monkeypatch.setattr("headrace.store.journal.query.load_manifest", load_then_turn)
    assert query_of(tmp_path).count() == 10
    assert (turned[0].segments, turned[0].deleted) == (1, 0)
    assert query_of(tmp_path).count() == 10
    assert make_archive(tmp_path).turn(None).deleted == 1


def test_each_row_once_while_writer_and_archive_work(tmp_path: Path, query_of: Callable[[Path], JournalQuery]) -> None:
    """Calls are appended in order, so whatever a question sees must be 0, 1, 2 … without a gap, at least up to now."""
    journal = open_journal(tmp_path, segment_bytes=1 << 14)
    archive = make_archive(tmp_path, merge_bytes=1 << 17)
    traffic = Traffic(journal)
    turns: list[Turn] = []
    stop = threading.Event()

    def turn() -> None:
        while not stop.is_set():
            turns.append(archive.turn(None))

    threads = [threading.Thread(target=turn), threading.Thread(target=traffic.run, args=(stop,))]
    for thread in threads:
        thread.start()
    query = query_of(tmp_path)
    questions = 0
    try:
        while sum(done.merged for done in turns) < 30 or questions < 20:
            ask(query, traffic)
            questions += 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        journal.close()
    assert journal.lost == 0
    assert sum(done.deleted for done in turns) > 20


class Traffic:
    """Appends call 0, 1, 2 …; `written` of them so far."""

    def __init__(self, journal: Journal) -> None:
        self.written = 0
        self._journal = journal

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(0.005):
            for _ in range(5):
                self._journal.append(encode_call(make_call(self.written)))
                self.written += 1


def ask(query: JournalQuery, traffic: Traffic) -> None:
    before = traffic.written
    found = [call.output["label"] for batch in query.scan() for call in batch]
    assert found == list(range(len(found)))
    assert len(found) >= before
    before = traffic.written
    assert query.count() >= before
    before = traffic.written
    newest = [call.output["label"] for call in query.calls(limit=5)]
    assert newest == sorted(newest, reverse=True)
    assert len(newest) == min(5, newest[0] + 1 if newest else 0)
    assert not before or newest[0] >= before - 1
    for number in range(0, before, before // 3 + 1):
        assert query.call(make_call(number).trace_id) == make_call(number)
