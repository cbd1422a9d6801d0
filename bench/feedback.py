"""What people say, at speed: feedback per second that is on disk before its answer, and the export of a long journal.

Called by `python -m bench feedback`. Feedback: POST /feedback with one rating each, of traces that the data plane has
issued, over kept connections; the answer comes after the disk has it. Export: a journal of `--calls` calls, archived by
the platform itself, of which three in a hundred are spoken of.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import msgspec
import psutil
from pyarrow.parquet import ParquetFile

from bench.options import Options, say
from bench.running import Platform, wait_for
from headrace.base.clock import SystemClock
from headrace.base.ids import TraceIds, feedback_id, load_key
from headrace.store import feedbacks
from headrace.store.db import Database
from headrace.store.journal.manifest import load_manifest
from headrace.store.journal.records import encode_call
from headrace.store.journal.writer import Journal
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName
from headrace.types.traffic import Reason

CALLS = 1_000_000
RATED = 0.03
CONNECTIONS = 64
SECONDS = 10.0


def feedback(platform: Platform, _: Path, __: Options) -> list[str]:
    platform.train("digits")
    platform.run("deploy", "models:/digits/1", "--endpoint", "digits")
    exports = _exporting(platform)  # first: MLflow takes long to hear of hundreds of thousands of ratings
    return [*_accepting(platform), "", *exports]


def _accepting(platform: Platform) -> list[str]:
    ids = TraceIds(load_key(platform.home / "keys" / "trace.key"))
    say("feedback, one at a time and in batches")
    rows = []
    for name, size in (("one in a request", 1), ("100 in a request", 100)):
        plane = _plane(platform)
        before, began = _cpu(plane), time.monotonic()
        count = asyncio.run(_send(platform.data, ids, size))
        took, spent = time.monotonic() - began, _cpu(plane) - before
        rows.append(f"| {name} | {count:,} | {count / took:,.0f} | {1000 * spent / count:.3f} |")
    return [
        f"Feedback accepted durably, {CONNECTIONS} connections; the sender shares the cores.",
        "",
        "| | feedbacks | per second | CPU ms of the data plane for each |",
        "|---|--:|--:|--:|",
        *rows,
    ]


async def _send(url: str, ids: TraceIds, size: int) -> int:
    ends, sent = time.monotonic() + SECONDS, 0
    host, port = url.removeprefix("http://").split(":")

    async def talk() -> None:
        nonlocal sent
        reader, writer = await asyncio.open_connection(host, int(port))
        while time.monotonic() < ends:
            bodies = [{"trace_id": ids.mint(time.time()), "user_rating": True, "rater": "ann"} for _ in range(size)]
            path = "/feedback" if size == 1 else "/feedback/batch"
            body = msgspec.json.encode(bodies[0] if size == 1 else {"feedback": bodies})
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            sent += size
        writer.close()

    await asyncio.gather(*(talk() for _ in range(CONNECTIONS)))
    return sent


def _exporting(platform: Platform) -> list[str]:
    say(f"a journal of {CALLS:,} calls")
    _fill(platform)
    rows = [
        _export(platform, "all, jsonl", {}),
        _export(platform, "all, csv", {"format": "csv"}),
        _export(platform, "all, parquet", {"format": "parquet"}),
        _export(platform, "rating=any, jsonl", {"rating": "any"}),
        _export(platform, "rating=up, csv", {"rating": "up", "format": "csv"}),
        _export(platform, "the second half, jsonl", {"from": str(_START + CALLS / 200)}),
        _export(platform, "the second half, csv", {"from": str(_START + CALLS / 200), "format": "csv"}),
    ]
    return [
        f"Export through the control plane's port, of a journal of {CALLS:,} calls (64 numbers in, 1 out), archived.",
        "",
        "Rows by a second of the clock, and by one of the control plane's CPU, which a busy machine changes less.",
        "",
        "| export | rows | first byte after s | rows/s | rows/CPU-s | MB/s |",
        "|---|--:|--:|--:|--:|--:|",
        *rows,
    ]


def _export(platform: Platform, name: str, selection: dict[str, str]) -> str:
    plane = _plane(platform, "headrace.app.control")
    before, began = _cpu(plane), time.monotonic()
    first, size, rows = 0.0, 0, _Rows(selection.get("format", "jsonl"))
    with httpx.stream(
        "GET", f"{platform.control}/export", params={"model": "digits"} | selection, timeout=600
    ) as answer:
        assert answer.status_code == 200
        for block in answer.iter_bytes():
            first = first or time.monotonic() - began
            rows.add(block)
            size += len(block)
    took, spent = time.monotonic() - began, _cpu(plane) - before
    count = rows.count
    speed = f"{count / (took - first):,.0f} | {count / spent:,.0f} | {size / took / 1e6:,.0f}"
    return f"| {name} | {count:,} | {first:.2f} | {speed} |"


class _Rows:
    """Counted as they arrive; of Parquet, which says so at its end, from all of it."""

    def __init__(self, form: str) -> None:
        self._form, self._lines, self._whole = form, 0, bytearray()

    def add(self, block: bytes) -> None:
        if self._form == "parquet":
            self._whole += block
        else:
            self._lines += block.count(b"\n")

    @property
    def count(self) -> int:
        if self._form == "parquet":
            return int(ParquetFile(BytesIO(self._whole)).metadata.num_rows)
        return self._lines - (self._form == "csv")


_START = time.time() - 5 * 86_400


def _fill(platform: Platform) -> None:
    ids = TraceIds(load_key(platform.home / "keys" / "trace.key"))
    folder, rng = platform.home / "journal", random.Random(1)
    journal = Journal(folder, "bench", segment_bytes=16 << 20, segment_seconds=3600, clock=SystemClock())
    said: list[Feedback] = []
    for call in _calls(ids, rng):
        while not journal.append(encode_call(call)):
            time.sleep(0.05)
        if rng.random() < RATED:
            said.append(_rating(call, rng.random() < 0.8))
    journal.close()
    database = Database(f"sqlite:///{platform.home / 'headrace.db'}")
    for start in range(0, len(said), 5_000):
        with database.write() as conn:
            feedbacks.put(conn, said[start : start + 5_000])
    database.close()

    def archived() -> bool:
        return sum(file.rows for file in load_manifest(folder).calls) >= CALLS

    wait_for(archived, seconds=600, what="the journal is archived")


def _calls(ids: TraceIds, rng: random.Random) -> Iterator[Call]:
    row = ",".join(f"{rng.randrange(17)}.0" for _ in range(64))
    for index in range(CALLS):
        now = _START + index * 0.01
        yield Call(
            trace_id=ids.mint(now),
            time=now,
            endpoint="digits",
            variant="v1",
            version=1,
            unit=f"{index % 5_000:016x}",
            sticky=True,
            counted=True,
            reason=Reason.BUCKET,
            status=CallStatus.OK,
            latency_ms=1.0,
            input=msgspec.Raw(f"[[{index}.0,{row[4:]}]]".encode()),
            output=msgspec.Raw(b"[%d]" % (index % 10)),
        )


def _rating(call: Call, value: bool) -> Feedback:
    return Feedback(
        id=feedback_id(call.trace_id, call.unit, FeedbackName.RATING),
        trace_id=call.trace_id,
        name=FeedbackName.RATING,
        value=value,
        rater=call.unit,
        time=call.time + 60,
    )


def _plane(platform: Platform, program: str = "headrace.app.data") -> psutil.Process:
    assert platform.process is not None
    children = psutil.Process(platform.process.pid).children(recursive=True)
    return next(child for child in children if program in child.cmdline())


def _cpu(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)
