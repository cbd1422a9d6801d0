from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_samples import (
    START,
    make_call,
    make_event,
    make_feedback,
    names,
    open_journal,
    write_calls,
)

from headrace.base.clock import ManualClock
from headrace.store.journal import archive as archive_module
from headrace.store.journal.archive import FAN_IN, SPAN_SECONDS, Archive, choose_merge
from headrace.store.journal.manifest import ParquetFile, load_manifest, manifest_path
from headrace.store.journal.query import JournalQuery
from headrace.store.journal.records import encode_call, encode_event, encode_feedback
from headrace.store.journal.segments import delete_lock, open_path, plane_lock
from headrace.types.call import Call
from headrace.types.errors import Unavailable
from headrace.types.journal import Position

DAY = 86_400.0


def make_archive(folder: Path, **changes: Any) -> Archive:
    return Archive(folder, **({"retention_seconds": 1e9, "clock": ManualClock(START)} | changes))


def all_calls(folder: Path) -> list[Call]:
    query = JournalQuery(folder)
    try:
        return [call for batch in query.scan() for call in batch]
    finally:
        query.close()


def parquet(folder: Path, kind: str = "calls") -> list[str]:
    return sorted(path.name for path in (folder / kind).iterdir())


def test_sealed_segments_become_parquet_and_go(tmp_path: Path) -> None:
    calls = [make_call(n) for n in range(200)]
    write_calls(tmp_path, calls, segment_bytes=1 << 14)
    count = len(names(tmp_path / "p0"))
    turn = make_archive(tmp_path, merge_bytes=1).turn(None)
    assert (turn.segments, turn.rows, turn.deleted, turn.torn) == (count, 200, count, 0)
    assert names(tmp_path / "p0") == []
    assert parquet(tmp_path) == [f"p0-{n:08d}.parquet" for n in range(1, count + 1)]
    assert all_calls(tmp_path) == calls
    again = make_archive(tmp_path, merge_bytes=1).turn(None)
    assert (again.segments, again.rows, again.deleted, again.merged) == (0, 0, 0, 0)


def test_each_kind_has_its_folder_and_json_stays_text(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append(encode_call(make_call(1, input=msgspec.Raw(b'{ "a": [1.50, null] }'), output=None)))
    journal.append(encode_feedback(make_feedback(2)))
    journal.append(encode_event(make_event(3)))
    journal.close()
    assert make_archive(tmp_path).turn(None).rows == 3
    call = pq.read_table(tmp_path / "calls" / "p0-00000001.parquet").to_pylist()[0]
    assert (call["input"], call["output"], call["endpoint"]) == ('{ "a": [1.50, null] }', None, "digits")
    feedback = pq.read_table(tmp_path / "feedback" / "p0-00000001.parquet").to_pylist()[0]
    assert (feedback["value"], feedback["name"]) == ('{"label":2}', "corrected_output")
    assert pq.read_table(tmp_path / "events" / "p0-00000001.parquet").to_pylist()[0]["revision"] == 3
    (listed,) = load_manifest(tmp_path).calls
    assert (listed.rows, listed.first, listed.low) == (1, make_call(1).time, make_call(1).trace_id)


def test_the_open_segment_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.append(encode_call(make_call(1)))
    assert make_archive(tmp_path).turn(None).segments == 0
    assert names(tmp_path / "p0") == ["00000001.open.jsonl"]
    assert journal.append(encode_call(make_call(2)))
    journal.close()
    assert make_archive(tmp_path).turn(None).rows == 2


def test_the_open_segment_of_a_dead_process_is_sealed(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    open_path(folder, 1).write_bytes(encode_call(make_call(1)) + encode_call(make_call(2))[:-9] + bytes(1000))
    turn = make_archive(tmp_path).turn(None)
    assert (turn.rows, turn.torn, turn.deleted) == (1, 1, 1)
    assert load_manifest(tmp_path).mark("gone").torn == 1
    assert all_calls(tmp_path) == [make_call(1)]
    assert plane_lock(folder).take()


def test_keep_holds_segments_back(tmp_path: Path) -> None:
    for number in range(4):
        write_calls(tmp_path, [make_call(number)])
    archive = make_archive(tmp_path)
    assert archive.turn(Position()).deleted == 0
    assert archive.turn(Position(offsets={"p0": (3, 0)})).deleted == 2
    assert names(tmp_path / "p0") == ["00000003.jsonl", "00000004.jsonl"]
    assert all_calls(tmp_path) == [make_call(n) for n in range(4)]
    assert archive.turn(Position(offsets={"p0": (9, 0)})).deleted == 2


def test_numbers_never_come_twice(tmp_path: Path) -> None:
    for number in range(3):
        write_calls(tmp_path, [make_call(number)])
        make_archive(tmp_path).turn(None)
    assert parquet(tmp_path) == ["p0-00000001.parquet", "p0-00000002.parquet", "p0-00000003.parquet"]
    assert all_calls(tmp_path) == [make_call(n) for n in range(3)]


def test_a_missing_segment_does_not_stop_the_archive(tmp_path: Path) -> None:
    for number in range(3):
        write_calls(tmp_path, [make_call(number)])
    (tmp_path / "p0" / "00000002.jsonl").unlink()
    assert make_archive(tmp_path).turn(None).rows == 2
    assert load_manifest(tmp_path).mark("p0").archived == 3


def test_an_empty_segment_is_archived_as_nothing(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(0, input="x" * 200_000)], segment_bytes=4096)  # the first stays empty
    turn = make_archive(tmp_path).turn(None)
    assert (turn.segments, turn.rows) == (2, 1)


def test_damaged_lines_are_counted_not_fatal(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(n) for n in range(5)])
    path = tmp_path / "p0" / "00000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"{", b"#", 1) + b'{"call":{"trace')
    assert make_archive(tmp_path).turn(None).torn == 2
    assert all_calls(tmp_path) == [make_call(n) for n in range(1, 5)]


def test_one_archive_at_a_time(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(1)])
    with (tmp_path / ".archive.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert make_archive(tmp_path).turn(None).segments == 0
    assert make_archive(tmp_path).turn(None).segments == 1


def test_nothing_is_deleted_while_a_query_opens_segments(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(1)])
    query = delete_lock(tmp_path)
    assert query.take(shared=True)
    turn = make_archive(tmp_path).turn(None)
    assert (turn.segments, turn.deleted) == (1, 0)
    query.drop()
    assert make_archive(tmp_path).turn(None).deleted == 1


def test_a_damaged_manifest_says_so(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(1)])
    make_archive(tmp_path).turn(None)
    manifest_path(tmp_path).write_bytes(b'{"generation": 1, "pla')
    with pytest.raises(Unavailable, match=r"manifest\.json is damaged"):
        make_archive(tmp_path).turn(None)


# merging and retention


def test_small_files_are_merged_and_the_old_ones_stay_for_a_while(tmp_path: Path) -> None:
    clock = ManualClock(START)
    archive = make_archive(tmp_path, clock=clock, grace_seconds=60)
    calls = [make_call(n) for n in range(FAN_IN * 3)]
    for number in range(FAN_IN):
        write_calls(tmp_path, calls[number * 3 : number * 3 + 3])
    assert archive.turn(None).merged == FAN_IN
    (merged,) = load_manifest(tmp_path).calls
    assert merged.rows == len(calls)
    assert all_calls(tmp_path) == calls
    assert len(parquet(tmp_path)) == FAN_IN + 1
    clock.move(59)
    archive.turn(None)
    assert len(parquet(tmp_path)) == FAN_IN + 1
    clock.move(2)
    archive.turn(None)
    assert parquet(tmp_path) == [Path(merged.name).name]
    assert all_calls(tmp_path) == calls


def test_planes_are_merged_into_one_order(tmp_path: Path) -> None:
    calls = [make_call(n) for n in range(FAN_IN * 4)]
    for number in range(FAN_IN):
        write_calls(tmp_path, calls[number::FAN_IN], f"p{number}")
    make_archive(tmp_path).turn(None)
    (merged,) = load_manifest(tmp_path).calls
    times = pq.read_table(tmp_path / merged.name).column("time").to_pylist()
    assert times == sorted(times)
    assert all_calls(tmp_path) == calls


def test_retention_deletes_whole_files_that_are_too_old(tmp_path: Path) -> None:
    clock = ManualClock(START + 10 * DAY)
    for day in range(4):
        write_calls(tmp_path, [make_call(n, time=START + day * DAY + n) for n in range(3)])
    archive = make_archive(tmp_path, clock=clock, retention_seconds=8.5 * DAY, grace_seconds=60)
    assert archive.turn(None).retired == 2
    assert [call.time for call in all_calls(tmp_path)] == [START + day * DAY + n for day in (2, 3) for n in range(3)]
    clock.move(61)
    archive.turn(None)
    assert len(parquet(tmp_path)) == 2


files = st.builds(
    lambda number, size, first, span: ParquetFile(
        name=f"calls/{number}", rows=1, size=size, first=first, last=first + span
    ),
    st.integers(),
    st.integers(1, 2_000_000),
    st.floats(0, 10 * DAY),
    st.floats(0, DAY / 2),
)


@given(files=st.lists(files, max_size=60, unique_by=lambda file: file.name))
def test_a_merge_is_worth_it_and_comes_to_an_end(files: list[ParquetFile]) -> None:
    limit = 1_000_000
    turns = 0
    while group := choose_merge(files, limit):
        assert len(group) > 1
        assert sum(file.size for file in group) <= limit
        assert max(file.last for file in group) - min(file.first for file in group) <= SPAN_SECONDS
        merged = ParquetFile(
            name=f"calls/_{turns}",
            rows=1,
            size=sum(file.size for file in group),
            first=min(file.first for file in group),
            last=max(file.last for file in group),
        )
        files = [file for file in files if file not in group] + [merged]
        turns += 1
        assert turns < 100


def test_rows_are_rewritten_seldom() -> None:
    files: list[ParquetFile] = []
    written = 0
    for number in range(1000):
        files.append(ParquetFile(name=f"calls/{number}", rows=1, size=100_000, first=number, last=number + 1))
        while group := choose_merge(files, 64 << 20):
            size = sum(file.size for file in group)
            written += size
            files = [file for file in files if file not in group]
            files.append(
                ParquetFile(
                    name=f"calls/_{number}_{size}", rows=1, size=size, first=group[0].first, last=group[-1].last
                )
            )
    assert written < 4 * 1000 * 100_000
    assert len(files) < 40


# crashes


FEW = 3  # files to merge, as each step is tried


class Crash(BaseException):
    """The process is gone: nothing that changes the disk works any more."""


class Killer:
    """Lets `steps` operations that change the disk through, then none; `after`: the last one still happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, steps: int, *, after: bool) -> None:
        self.left, self.after, self.dead = steps, after, False
        for owner, name in (
            (Path, "rename"),
            (Path, "replace"),
            (Path, "unlink"),
            (os, "fsync"),
            (os, "ftruncate"),
            (pq, "write_table"),
        ):
            monkeypatch.setattr(owner, name, self.wrap(getattr(owner, name)))

    def wrap(self, real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.dead:
                raise Crash
            if self.left == 0:
                self.dead = True
                if self.after:
                    real(*args, **kwargs)
                raise Crash
            self.left -= 1
            return real(*args, **kwargs)

        return call


@pytest.fixture(scope="module")
def crash_scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Call]]:
    """A turn that seals, archives, merges, retires and deletes."""
    folder = tmp_path_factory.mktemp("scene")
    old = [make_call(1000 + n, time=START - 20 * DAY + n) for n in range(3)]
    calls = [make_call(n) for n in range(FEW * 3)]
    write_calls(folder, old)
    make_archive(folder).turn(None)
    for number in range(FEW - 1):
        write_calls(folder, calls[number * 3 : number * 3 + 3])
    dead = folder / "p1"
    dead.mkdir()
    open_path(dead, 1).write_bytes(b"".join(map(encode_call, calls[-3:])) + bytes(1000))
    return folder, calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, crash_scene: tuple[Path, list[Call]], after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "FAN_IN", FEW)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a killed process leaves its writes to the kernel
    scene, calls = crash_scene
    steps = 0
    while True:
        folder = tmp_path / str(steps)
        shutil.copytree(scene, folder)
        archive = make_archive(folder, retention_seconds=10 * DAY)
        with pytest.MonkeyPatch.context() as patch:
            killer = Killer(patch, steps, after=after)
            with suppress(Crash):
                archive.turn(None)
        # What a query sees right after the crash, then after the next turn. Retention may or may not have come.
        assert [c for c in all_calls(folder) if c.time >= START] == calls, steps
        make_archive(folder, retention_seconds=10 * DAY).turn(None)
        assert all_calls(folder) == calls, steps
        listed = {Path(file.name).name for file in load_manifest(folder).calls}
        retired = {Path(file.name).name for file in load_manifest(folder).retired}
        assert set(parquet(folder)) == listed | retired, steps
        assert names(folder / "p0") == names(folder / "p1") == [], steps
        shutil.rmtree(folder)
        if not killer.dead:
            break
        steps += 1
    assert steps > 30
