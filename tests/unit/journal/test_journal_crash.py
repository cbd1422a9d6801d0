"""Real processes killed at any moment, and a disk that is really full."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from journal_samples import make_call, open_journal, read_all

from headrace.base.clock import ManualClock
from headrace.store.journal.archive import Archive
from headrace.store.journal.query import JournalQuery
from headrace.store.journal.reader import Reader, earliest
from headrace.store.journal.records import encode_call
from headrace.store.journal.writer import Journal
from headrace.types.call import Call
from headrace.types.errors import Unavailable

KILLS = 12

# Appends calls without end and writes the number of each to standard output once append has returned True: the
# parent kills it in the middle of either. The pipe holds what was written before the kill.
CHILD = """
import os, sys
from pathlib import Path
from journal_samples import make_call, open_journal
from headrace.store.journal.records import encode_call
folder, start = Path(sys.argv[1]), int(sys.argv[2])
journal = open_journal(folder, segment_bytes=1 << 17)
for number in range(start, start + 10_000_000):
    assert journal.append(encode_call(make_call(number, input="x" * (number * 37 % 3000))))
    os.write(1, b"%d\\n" % number)
"""


def killed_writer(folder: Path, start: int, lines: int, meanwhile: Callable[[], object]) -> list[int]:
    """Numbers acknowledged by a writer that was killed once it had acknowledged about `lines`."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(start)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    assert child.stdout is not None
    try:
        acknowledged = b""
        while acknowledged.count(b"\n") < lines:
            data = os.read(child.stdout.fileno(), 1 << 16)
            assert data, "the writer ended by itself"
            acknowledged += data
            meanwhile()
    finally:
        child.kill()
        acknowledged += child.stdout.read()
        child.stdout.close()
        child.wait()
    return [int(line) for line in acknowledged.split(b"\n")[:-1]]


def test_kill_9_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    rng = random.Random(3)
    reader, archive = (
        Reader(tmp_path),
        Archive(tmp_path, retention_seconds=1e9, clock=ManualClock(), merge_bytes=1 << 20),
    )
    acknowledged: list[int] = []
    seen: list[int] = []
    for _ in range(KILLS):
        start = max(acknowledged, default=0) + 10
        acknowledged += killed_writer(tmp_path, start, rng.randrange(1, 2000), lambda: seen.extend(labels(reader)))
        archive.turn(earliest([reader.position]))
    seen += labels(reader)
    assert len(acknowledged) > KILLS
    # A line whose copy was complete and not yet acknowledged may be there too: one at most for each kill.
    assert len(seen) == len(set(seen))
    assert set(acknowledged) <= set(seen)
    assert len(seen) <= len(acknowledged) + KILLS
    assert reader.skipped == 0
    query = JournalQuery(tmp_path)
    kept = [call.output["label"] for batch in query.scan() for call in batch]
    query.close()
    assert kept == sorted(seen)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """256 KiB of file system."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("only root may mount a small tmpfs to fill")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mount is not allowed here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_is_no_sigbus_and_heals(small_disk: Path) -> None:
    journal = open_journal(small_disk, segment_bytes=1 << 15)
    try:
        await fill_and_heal(journal, small_disk)
    finally:
        journal.close()


async def fill_and_heal(journal: Journal, folder: Path) -> None:
    kept: list[int] = []
    number = 0
    while journal.lost < 100:
        if journal.append(encode_call(make_call(number))):
            kept.append(number)
        number += 1
    assert len(kept) > 300
    with pytest.raises(Unavailable):
        await journal.durable(encode_call(make_call(number)))
    reader, seen = Reader(folder), []
    deadline = time.monotonic() + 20
    while len(seen) < len(kept):  # the thread is still sealing
        assert time.monotonic() < deadline
        seen += labels(reader)
    assert seen == kept
    for path in folder.glob("p0/*[0-9].jsonl"):  # room, as the archive makes it
        path.unlink()
    while not journal.append(encode_call(make_call(number))):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await journal.durable(encode_call(make_call(number + 1)))
    while len(seen) < len(kept) + 2:
        assert time.monotonic() < deadline
        seen += labels(reader)
    assert seen == [*kept, number, number + 1]


def labels(reader: Reader) -> list[int]:
    return [record.output["label"] for record in read_all(reader) if isinstance(record, Call)]
