from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from journal_samples import make_call, make_event, names, open_journal, read_all, write_calls

from headrace.base.clock import ManualClock
from headrace.store.journal import writer
from headrace.store.journal.reader import Reader
from headrace.store.journal.records import encode_call, encode_event
from headrace.types.call import Call
from headrace.types.errors import BadInput, Conflict, Unavailable

TICK = encode_event(make_event())


def until(condition: Callable[[], bool]) -> None:
    """The journal's thread works beside us; nothing here depends on how long it takes."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def numbers_read(folder: Path) -> list[int]:
    return [r.output["label"] for r in read_all(Reader(folder)) if isinstance(r, Call)]


class FullDisk:
    """posix_fallocate finds no room while `full`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, full: bool = False) -> None:
        self.full, self.tries = full, 0
        self._real = os.posix_fallocate
        monkeypatch.setattr(os, "posix_fallocate", self)

    def __call__(self, descriptor: int, offset: int, size: int) -> None:
        self.tries += 1
        if self.full:
            os.ftruncate(descriptor, size // 2)  # as the real one may: part of it
            raise OSError(errno.ENOSPC, "No space left on device")
        self._real(descriptor, offset, size)


def test_lines_are_there_before_anything_is_synced_or_closed(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    for number in range(100):
        assert journal.append(encode_call(make_call(number)))
    assert numbers_read(tmp_path) == list(range(100))
    journal.close()


def test_segments_roll_by_size_and_lose_nothing(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(n) for n in range(1000)], segment_bytes=1 << 14)
    found = names(tmp_path / "p0")
    assert len(found) > 20
    assert found == [f"{n:08d}.jsonl" for n in range(1, len(found) + 1)]
    assert numbers_read(tmp_path) == list(range(1000))
    assert all(0 not in path.read_bytes() for path in (tmp_path / "p0").glob("*.jsonl"))
    assert sorted(os.listdir(tmp_path / "p0")) == [*found, "lock"]


async def test_a_segment_is_sealed_by_its_age_from_the_first_line(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = open_journal(tmp_path, segment_seconds=60, clock=clock)
    clock.move(1000)  # empty: not sealed, however old
    until(lambda: journal._active is not None and journal._active.born == clock.steady())
    await journal.durable(TICK)
    clock.move(59)
    await journal.durable(TICK)
    await journal.durable(TICK)  # a second one is answered after the first one's turn of the thread is over
    assert names(tmp_path / "p0") == ["00000001.open.jsonl"]
    clock.move(1)
    until(lambda: names(tmp_path / "p0") == ["00000001.jsonl", "00000002.open.jsonl"])
    journal.close()


async def test_the_wall_clock_may_jump(tmp_path: Path) -> None:
    class Jumping(ManualClock):
        wall = 0.0

        def now(self) -> float:
            return self.wall

    clock = Jumping()
    journal = open_journal(tmp_path, segment_seconds=60, clock=clock)
    for number, wall in enumerate((1e9, 5e9, -1e9, 0.0)):
        clock.wall = wall
        await journal.durable(encode_call(make_call(number, time=wall)))
    assert names(tmp_path / "p0") == ["00000001.open.jsonl"]
    assert numbers_read(tmp_path) == [0, 1, 2, 3]
    journal.close()


def test_a_line_larger_than_a_segment_gets_its_own(tmp_path: Path) -> None:
    large = make_call(1, input="x" * 300_000)
    write_calls(tmp_path, [make_call(0), large, make_call(2)], segment_bytes=4096)
    assert [path.stat().st_size > 300_000 for path in sorted((tmp_path / "p0").glob("*.jsonl"))] == [False, True]
    assert read_all(Reader(tmp_path)) == [make_call(0), large, make_call(2)]


def test_a_large_first_line_leaves_no_gap_in_the_numbers(tmp_path: Path) -> None:
    write_calls(tmp_path, [make_call(0, input="x" * 300_000)], segment_bytes=4096)
    assert names(tmp_path / "p0") == ["00000001.jsonl", "00000002.jsonl"]
    reader = Reader(tmp_path)
    assert len(read_all(reader)) == 1
    assert reader.skipped == 0


def test_a_new_process_takes_the_next_number(tmp_path: Path) -> None:
    for number in range(3):
        write_calls(tmp_path, [make_call(number)])
    assert names(tmp_path / "p0") == ["00000001.jsonl", "00000002.jsonl", "00000003.jsonl"]
    assert numbers_read(tmp_path) == [0, 1, 2]


def test_closing_without_a_line_leaves_no_file(tmp_path: Path) -> None:
    open_journal(tmp_path).close()
    assert os.listdir(tmp_path / "p0") == ["lock"]


def test_an_append_after_close_is_counted(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.close()
    assert not journal.append(TICK)
    assert journal.lost == 1
    journal.close()


def test_a_dead_process_is_sealed_by_the_next_and_its_torn_tail_counted(tmp_path: Path) -> None:
    folder = tmp_path / "p0"
    folder.mkdir()
    (folder / "00000001.open.jsonl").write_bytes(
        encode_call(make_call(0)) + encode_call(make_call(1))[:50] + bytes(4096)
    )
    (folder / "spare").write_bytes(b"left over")
    journal = open_journal(tmp_path)
    assert journal.torn == 1
    assert journal.append(encode_call(make_call(2)))
    reader = Reader(tmp_path)
    assert read_all(reader) == [make_call(0), make_call(2)]
    assert reader.torn == 1
    assert names(folder) == ["00000001.jsonl", "00000002.open.jsonl"]
    journal.close()


def test_two_processes_cannot_write_one_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LOCK_SECONDS", 0.05)
    journal = open_journal(tmp_path)
    with pytest.raises(Conflict, match="'p0'"):
        open_journal(tmp_path)
    other = open_journal(tmp_path, "p1")
    journal.close()
    other.close()


def test_a_reserved_plane_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'calls'"):
        open_journal(tmp_path, "calls")


def test_threads_may_append_together(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, segment_bytes=1 << 14)

    def work(start: int) -> None:
        for number in range(start, start + 500):
            assert journal.append(encode_call(make_call(number)))

    threads = [threading.Thread(target=work, args=(n * 500,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert sorted(numbers_read(tmp_path)) == list(range(2000))


# durable


async def test_durable_returns_after_a_sync_that_covers_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fdatasync

    def watch(descriptor: int) -> None:
        size = os.pread(descriptor, 1 << 20, 0).find(0)
        real(descriptor)
        synced.append(size)

    journal = open_journal(tmp_path)
    monkeypatch.setattr(os, "fdatasync", watch)
    for number in range(1, 6):
        await journal.durable(TICK)
        assert max(synced) >= number * len(TICK)
    journal.close()


async def test_the_name_of_a_new_segment_is_durable_before_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_folder, real_data = writer.sync_folder, os.fdatasync
    monkeypatch.setattr(writer, "sync_folder", lambda folder: (order.append("folder"), real_folder(folder)))
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (order.append("data"), real_data(descriptor)))
    journal = open_journal(tmp_path)
    await journal.durable(TICK)
    assert order.index("folder") < order.index("data")
    journal.close()


async def test_durable_calls_share_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    real = os.fdatasync

    def watch(descriptor: int) -> None:
        nonlocal count
        count += 1
        real(descriptor)

    journal = open_journal(tmp_path, segment_bytes=1 << 20)
    monkeypatch.setattr(os, "fdatasync", watch)
    await asyncio.gather(*(journal.durable(TICK) for _ in range(1000)))
    assert count < 100
    journal.close()
    assert len(read_all(Reader(tmp_path))) == 1000


async def test_durable_while_segments_roll(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, segment_bytes=4096)

    async def one(number: int) -> None:
        await journal.durable(encode_call(make_call(number)))

    await asyncio.gather(*(one(number) for number in range(500)))
    journal.close()
    assert numbers_read(tmp_path) == list(range(500))


async def test_a_failed_sync_is_not_acknowledged_and_its_segment_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(tmp_path)
    await journal.durable(encode_call(make_call(0)))
    real, failing = os.fdatasync, [True]

    def broken(descriptor: int) -> None:
        if failing:
            failing.clear()
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(Unavailable, match="disk failed"):
        await journal.durable(encode_call(make_call(1)))
    await journal.durable(encode_call(make_call(2)))
    assert "00000002.open.jsonl" in names(tmp_path / "p0")
    journal.close()
    assert numbers_read(tmp_path) == [0, 1, 2]  # what was not acknowledged may be there all the same


async def test_a_sync_that_fails_between_line_and_waiter_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line and waiter enter under one lock: else the failed sync misses the waiter, and the next one succeeds."""
    journal = open_journal(tmp_path)
    failed, real, main = threading.Event(), os.fdatasync, threading.get_ident()

    def broken(descriptor: int) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    class Slow:
        """The journal's lock; our thread, once it lets go, is overtaken by the sync of the line."""

        def __init__(self, lock: threading.Lock) -> None:
            self.lock = lock

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()
            if threading.get_ident() == main:
                assert failed.wait(20)

    monkeypatch.setattr(os, "fdatasync", broken)
    monkeypatch.setattr(journal, "_lock", Slow(journal._lock))
    with pytest.raises(Unavailable, match="disk failed"):
        await journal.durable(TICK)
    journal.close()


async def test_a_disk_that_does_not_answer_has_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(tmp_path)
    stuck, real = threading.Event(), os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (stuck.wait(20), real(descriptor)))
    with pytest.raises(Unavailable, match=r"within 0\.05 s"):
        await journal.durable(TICK, within=0.05)
    stuck.set()
    await journal.durable(TICK)
    journal.close()


async def test_a_cancelled_wait_does_not_disturb_the_others(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    tasks = [asyncio.create_task(journal.durable(TICK)) for _ in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(r) for n, r in enumerate(results) if n != 3] == [type(None)] * 9
    journal.close()


async def test_sealing_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(tmp_path, segment_bytes=4096)
    real, failures = os.ftruncate, [1, 1, 1]

    def broken(descriptor: int, size: int) -> None:
        if failures:
            failures.pop()
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor, size)

    monkeypatch.setattr(os, "ftruncate", broken)
    for number in range(40):
        assert journal.append(encode_call(make_call(number)))
    while failures:
        await journal.durable(TICK)
    journal.close()
    assert numbers_read(tmp_path) == list(range(40))
    assert not list((tmp_path / "p0").glob("*.open.jsonl"))


# a full disk


async def test_a_full_disk_is_counted_and_heals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch)
    journal = open_journal(tmp_path, segment_bytes=4096)
    until(lambda: journal._spare is not None)
    disk.full = True
    kept = [number for number in range(200) if journal.append(encode_call(make_call(number)))]
    assert 5 < len(kept) < 60  # the active segment and the spare
    assert journal.lost == 200 - len(kept)
    with pytest.raises(Unavailable, match="disk is full"):
        await journal.durable(encode_call(make_call(200)))
    tries = disk.tries
    for number in range(1000):
        assert not journal.append(encode_call(make_call(1000 + number)))
    assert disk.tries - tries < 20  # a full disk is not asked again with each line
    disk.full = False
    until(lambda: journal.append(encode_call(make_call(300))))
    await journal.durable(encode_call(make_call(301)))
    journal.close()
    assert numbers_read(tmp_path) == [*kept, 300, 301]


def test_a_process_starts_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch, full=True)
    journal = open_journal(tmp_path)
    assert not journal.append(TICK)
    assert journal.lost == 1
    assert os.listdir(tmp_path / "p0") == ["lock"]  # a file that was half made gives its room back
    disk.full = False
    until(lambda: journal.append(encode_call(make_call(7))))
    journal.close()
    assert numbers_read(tmp_path) == [7]


def test_a_large_line_without_room_does_not_stop_the_small_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(tmp_path)
    until(lambda: journal._spare is not None)
    disk = FullDisk(monkeypatch, full=True)
    assert not journal.append(encode_call(make_call(0, input="x" * 300_000)))
    assert journal.append(encode_call(make_call(1)))
    assert (journal.lost, disk.tries) == (1, 1)
    journal.close()
    assert numbers_read(tmp_path) == [1]


def test_a_segment_that_cannot_get_its_name_is_no_loss_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(tmp_path, segment_bytes=4096)
    real, failures = Path.rename, [1]

    def broken(path: Path, target: Path) -> Path:
        if failures and target.name.endswith(".open.jsonl"):
            failures.pop()
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", broken)
    kept = [n for n in range(30) if journal.append(encode_call(make_call(n)))]
    until(lambda: journal.append(encode_call(make_call(99))))
    journal.close()
    assert numbers_read(tmp_path) == [*kept, 99]
    assert not failures
