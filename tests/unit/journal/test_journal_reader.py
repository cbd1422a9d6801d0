from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from journal_samples import make_call, make_event, make_feedback, names, open_journal, read_all, write_calls

from headrace.base.clock import ManualClock
from headrace.store.journal.archive import Archive
from headrace.store.journal.reader import Reader, earliest, start_position
from headrace.store.journal.records import CALLS, FEEDBACK, call_of, encode_call, encode_event, encode_feedback
from headrace.types.call import Call
from headrace.types.journal import Position


def labels(records: list[object]) -> list[int]:
    return [record.output["label"] for record in records if isinstance(record, Call)]


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    reader = Reader(tmp_path)
    assert reader.read() == []
    for number in range(3):
        assert journal.append(encode_call(make_call(number)))
        assert reader.read() == [make_call(number)]
        assert reader.read() == []
    journal.close()
    assert reader.read() == []


def test_all_kinds_of_records_come_in_the_order_of_their_plane(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append(encode_event(make_event(1)))
    journal.append(encode_call(make_call(2)))
    journal.append(encode_feedback(make_feedback(3)))
    assert Reader(tmp_path).read() == [make_event(1), make_call(2), make_feedback(3)]
    journal.close()


def test_of_one_kind_only_its_lines_are_parsed(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append(encode_feedback(make_feedback(1)))
    journal.append(encode_call(make_call(2)).replace(b'"status":"ok"', b'"status":"melted"'))
    journal.append(encode_call(make_call(3)))
    journal.append(encode_feedback(make_feedback(4)))
    feedback, calls = Reader(tmp_path, begins=FEEDBACK), Reader(tmp_path, begins=CALLS)
    assert feedback.read() == [make_feedback(1), make_feedback(4)]
    assert feedback.torn == 0, "a call that it could not have read is none of its business"
    assert [row.call.status for row in calls.rows() if row.call] == ["melted", "ok"]
    assert calls.position == feedback.position
    journal.close()


def test_rows_are_the_records_with_their_values_as_text(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(n) for n in range(300)], segment_bytes=1 << 13)
    reader, found = Reader(tmp_path), []
    while rows := reader.rows(7):
        found += [row.call for row in rows if row.call]
    assert [call_of(row) for row in found] == [make_call(n) for n in range(300)]
    assert [bytes(row.output) for row in found[:2]] == [msgspec.json.encode(make_call(n).output) for n in range(2)]


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_a_limit_cuts_nothing_off(tmp_path: Path, limit: int) -> None:
    write_calls(tmp_path, [make_call(n) for n in range(300)], segment_bytes=1 << 13)
    assert labels(read_all(Reader(tmp_path), limit)) == list(range(300))


def test_a_position_is_a_place_to_resume(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(n) for n in range(200)], segment_bytes=1 << 13)
    seen: list[int] = []
    position = None
    while True:
        reader = Reader(tmp_path, position)  # a new process each time
        batch = reader.read(13)
        if not batch:
            break
        seen += labels(batch)
        position = reader.position
    assert seen == list(range(200))


def test_what_was_not_kept_is_read_again(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(n) for n in range(10)])
    reader = Reader(tmp_path)
    before = reader.position
    assert reader.read(5)
    assert labels(Reader(tmp_path, before).read()) == list(range(10))


def test_planes_that_appear_are_read_from_their_start(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(1)], "p0")
    reader = Reader(tmp_path, start_position(tmp_path))
    assert reader.read() == []
    write_calls(tmp_path, [make_call(2)], "p1")
    assert reader.read() == [make_call(2)]


def test_a_busy_plane_does_not_starve_the_others(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(n) for n in range(100)], "p0")
    write_calls(tmp_path, [make_call(n) for n in range(1000, 1100)], "p1")
    reader = Reader(tmp_path)
    first, second = labels(reader.read(10)), labels(reader.read(10))
    assert min(first) < 1000 <= min(second)


def test_start_is_behind_what_is_there(tmp_path: Path) -> None:
    assert start_position(tmp_path / "nowhere") == Position()
    write_calls(tmp_path, [make_call(n) for n in range(300)], "p0", segment_bytes=1 << 13)  # sealed
    journal = open_journal(tmp_path, "p1", segment_bytes=1 << 13)  # open
    for number in range(110):  # ends in the middle of a segment: the next call is in it, not in one yet to be sealed
        journal.append(encode_call(make_call(number)))
    reader = Reader(tmp_path, start_position(tmp_path))
    assert reader.read() == []
    journal.append(encode_call(make_call(7)))
    assert reader.read() == [make_call(7)]
    journal.close()
    assert reader.skipped == 0


def test_damaged_lines_are_counted_and_passed_over(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(n) for n in range(10)])
    path = tmp_path / "p0" / "00000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = b"\0" * (len(lines[3]) - 1) + b"\n"
    lines[6] = lines[6].replace(b'"', b"#", 1)
    path.write_bytes(b"".join(lines))
    reader = Reader(tmp_path)
    assert labels(reader.read()) == [0, 1, 2, 4, 5, 7, 8, 9]
    assert reader.torn == 2


def test_a_truncated_segment_gives_its_whole_lines(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(n) for n in range(300)], segment_bytes=1 << 14)
    path = tmp_path / "p0" / "00000002.jsonl"
    data = path.read_bytes()
    cut = data.index(b"\n", len(data) // 2) - 20  # inside a line
    path.write_bytes(data[:cut])
    reader = Reader(tmp_path)
    found = labels(read_all(reader))
    assert len(found) == 300 - data[cut:].count(b"\n")
    assert found == sorted(found)
    assert found[-1] == 299
    assert reader.torn == 1


def test_a_segment_that_is_shorter_than_the_position_is_left(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(n) for n in range(10)])
    (tmp_path / "p0" / "00000001.jsonl").write_bytes(b"")  # a power cut took what had been read already
    write_calls(tmp_path, [make_call(11)])
    reader = Reader(tmp_path, Position(offsets={"p0": (1, 500)}))
    assert labels(read_all(reader)) == [11]


def test_a_segment_that_is_gone_is_counted(tmp_path: Path) -> None:
    for number in range(3):
        write_calls(tmp_path, [make_call(number)])
    (tmp_path / "p0" / "00000002.jsonl").unlink()
    reader = Reader(tmp_path)
    assert labels(read_all(reader)) == [0, 2]
    assert reader.skipped == 1


def test_the_archive_keeps_what_the_slowest_reader_needs(tmp_path: Path) -> None:
    archive = Archive(tmp_path, retention_seconds=1e9, clock=ManualClock())
    write_calls(tmp_path, [make_call(n) for n in range(300)], segment_bytes=1 << 13)
    before = names(tmp_path / "p0")
    fast, slow = Reader(tmp_path), Reader(tmp_path)
    assert len(read_all(fast)) == 300
    seen = labels(slow.read(100))
    assert archive.turn(earliest([fast.position, slow.position])).deleted > 0
    kept = names(tmp_path / "p0")
    assert 0 < len(kept) < len(before)
    seen += labels(read_all(slow))
    assert seen == list(range(300))
    assert slow.skipped == 0
    archive.turn(earliest([fast.position, slow.position]))
    assert names(tmp_path / "p0") == []
    write_calls(tmp_path, [make_call(300)])  # numbers go on where they were
    assert labels(fast.read()) == labels(slow.read()) == [300]
    assert fast.skipped == slow.skipped == 0


def test_the_earliest_position_keeps_a_plane_that_one_has_not_seen() -> None:
    one = Position(offsets={"p0": (3, 10), "p1": (1, 5)})
    two = Position(offsets={"p0": (3, 9)})
    assert earliest([one, two]) == Position(offsets={"p0": (3, 9), "p1": (0, 0)})
    assert earliest([one]) == one
    assert earliest([]) == Position()


def test_a_reader_without_position_begins_at_what_is_left(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(1)])
    Archive(tmp_path, retention_seconds=1e9, clock=ManualClock()).turn(None)
    write_calls(tmp_path, [make_call(2)])
    reader = Reader(tmp_path)
    assert reader.read() == [make_call(2)]
    assert reader.skipped == 0
