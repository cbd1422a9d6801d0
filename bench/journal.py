"""What the journal costs and how fast it answers: `python -m bench.journal [--calls 1000000]`.

Writes calls like those of the digits endpoint with the real writer, archives them, then asks. Wall time on one machine:
compare the numbers of one run with each other, and with the goals printed beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from headrace.base.clock import SystemClock
from headrace.base.ids import TraceIds
from headrace.store.journal.archive import Archive
from headrace.store.journal.query import JournalQuery
from headrace.store.journal.reader import Reader, start_position
from headrace.store.journal.records import encode_call, encode_event
from headrace.store.journal.writer import Journal
from headrace.types.call import Call, CallStatus, PlaneEvent
from headrace.types.traffic import Reason

START = 1_700_000_000.0


def make_call(ids: TraceIds, index: int, rng: random.Random) -> Call:
    now = START + index * 0.01
    row = ",".join(f"{rng.randrange(17)}.0" for _ in range(64))
    scores = ",".join(f"{rng.random():.6f}" for _ in range(10))
    return Call(
        trace_id=ids.mint(now),
        time=now,
        endpoint="digits" if index % 4 else "other",
        variant="candidate" if index % 20 == 0 else "baseline",
        version=1,
        unit=f"{rng.getrandbits(16):016x}",
        sticky=True,
        counted=True,
        reason=Reason.BUCKET,
        status=CallStatus.FAILED if index % 5000 == 0 else CallStatus.OK,
        latency_ms=rng.random(),
        input=msgspec.Raw(f"[[{row}]]".encode()),
        output=msgspec.Raw(f"[{scores}]".encode()),
    )


def report(name: str, value: float, unit: str, goal: str = "") -> None:
    print(f"{name:58} {value:12,.2f} {unit:8} {goal}", flush=True)


def timed(act: Callable[[], object], repeat: int = 5) -> float:
    """Median seconds."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def write(folder: Path, calls: int) -> list[str]:
    ids, rng = TraceIds(b"k" * 32), random.Random(7)
    journal = Journal(folder, "data-1", segment_bytes=16 << 20, segment_seconds=300, clock=SystemClock())
    sample, encoding, appending = [], 0, 0
    for index in range(calls):
        call = make_call(ids, index, rng)
        start = time.perf_counter_ns()
        line = encode_call(call)
        middle = time.perf_counter_ns()
        journal.append(line)
        encoding += middle - start
        appending += time.perf_counter_ns() - middle
        if index % (calls // 50) == 0:
            sample.append(call.trace_id)
    report("encode_call", encoding / calls / 1000, "us", "")
    report(f"append ({len(line)} bytes)", appending / calls / 1000, "us", "<= 2")
    report("lost", journal.lost, "lines", "0")
    asyncio.run(acknowledge(journal))
    journal.close()
    return sample


async def acknowledge(journal: Journal) -> None:
    line = encode_event(PlaneEvent(time=START, plane="data-1", name="bench"))
    for parallel, total in ((1, 300), (32, 6400)):

        async def one(times: int) -> None:
            for _ in range(times):
                await journal.durable(line)

        start = time.perf_counter()
        await asyncio.gather(*(one(total // parallel) for _ in range(parallel)))
        report(f"durable, {parallel} in parallel", total / (time.perf_counter() - start), "/s", ">= 1,000 in parallel")


def read(folder: Path, calls: int) -> None:
    reader, seen, start = Reader(folder), 0, time.perf_counter()
    while records := reader.read():
        seen += sum(isinstance(record, Call) for record in records)
    report("reader, all", seen / (time.perf_counter() - start), "rows/s", "")
    assert seen == calls, (seen, calls)
    idle = Reader(folder, start_position(folder))
    report("reader, nothing new", timed(lambda: idle.read(), 200) * 1e6, "us", "")


def ask(folder: Path, calls: int, sample: list[str]) -> None:
    query = JournalQuery(folder)
    end = START + calls * 0.01
    lookups = []
    for trace_id in sample:
        start = time.perf_counter()
        found = query.call(trace_id)
        lookups.append(time.perf_counter() - start)
        assert found is not None
        assert found.trace_id == trace_id
    report("look-up of a trace id, median", statistics.median(lookups) * 1000, "ms", "< 50")
    report("look-up of a trace id, slowest of 50", max(lookups) * 1000, "ms", "")
    report("newest 100", timed(lambda: query.calls()) * 1000, "ms", "")
    report("newest 100 that failed", timed(lambda: query.calls(status=CallStatus.FAILED)) * 1000, "ms", "")
    report("newest 100 of one unit", timed(lambda: query.calls(unit="0000000000000abc")) * 1000, "ms", "")
    report("count of an endpoint", timed(lambda: query.count(endpoint="digits")) * 1000, "ms", "")
    start, cpu = time.perf_counter(), time.process_time()
    batches = query.scan(START, end, "digits")
    rows = len(next(batches))
    report("filtered scan, first batch", (time.perf_counter() - start) * 1000, "ms", "< 1,000")
    rows += sum(map(len, batches))
    report("filtered scan", rows / (time.perf_counter() - start), "rows/s", ">= 50,000")
    report("filtered scan", rows / (time.process_time() - cpu), "rows/CPU-s", "")
    assert rows == calls - (calls + 3) // 4, rows
    query.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="headrace-journal-"))
    try:
        sample = write(folder, arguments.calls)
        raw = sum(path.stat().st_size for path in folder.rglob("*.jsonl"))
        read(folder, arguments.calls)
        start = time.perf_counter()
        turn = Archive(folder, retention_seconds=1e12).turn(None)
        report("archive", turn.rows / (time.perf_counter() - start), "rows/s", f"{turn.merged} files merged")
        kept = sum(path.stat().st_size for path in folder.glob("calls/*.parquet") if "_merged" in path.name)
        report("bytes a call, raw", raw / arguments.calls, "bytes", "")
        report("bytes a call, Parquet", kept / arguments.calls, "bytes", "")
        ask(folder, arguments.calls, sample)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
