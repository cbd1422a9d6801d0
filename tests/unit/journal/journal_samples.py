"""Records and folders for the journal's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.base.clock import Clock, SystemClock
from headrace.store.journal.reader import Reader
from headrace.store.journal.records import Record, encode_call
from headrace.store.journal.writer import Journal
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName, PlaneEvent
from headrace.types.traffic import Reason

START = 1_700_000_000.0


def make_id(number: int, time: float) -> str:
    return f"tr-{int(time * 1000):012x}{number:012x}{number % 7:08x}"


def make_call(number: int = 0, **changes: Any) -> Call:
    time = changes.pop("time", START + number * 0.25)
    values: dict[str, Any] = {
        "trace_id": make_id(number, time),
        "time": time,
        "endpoint": "digits",
        "variant": "v1",
        "version": 1,
        "unit": f"{number % 5:016x}",
        "sticky": True,
        "counted": True,
        "reason": Reason.BUCKET,
        "status": CallStatus.OK,
        "latency_ms": 1.5,
        "input": [[1.0, 2.0]],
        "output": {"label": number},
    }
    return Call(**(values | changes))


def make_feedback(number: int = 0) -> Feedback:
    return Feedback(
        id=f"fb_{number}",
        trace_id=make_id(number, START),
        name=FeedbackName.CORRECTION,
        value={"label": number},
        rater="anonymous",
        time=START + number,
    )


def make_event(number: int = 0) -> PlaneEvent:
    return PlaneEvent(time=START + number, plane="p0", name="plan.live", revision=number)


def open_journal(
    folder: Path,
    plane: str = "p0",
    *,
    segment_bytes: int = 1 << 16,
    segment_seconds: float = 3600.0,
    clock: Clock | None = None,
) -> Journal:
    return Journal(
        folder,
        plane,
        segment_bytes=segment_bytes,
        segment_seconds=segment_seconds,
        clock=clock or SystemClock(),
    )


def write_calls(folder: Path, calls: list[Call], plane: str = "p0", *, segment_bytes: int = 1 << 16) -> None:
    journal = open_journal(folder, plane, segment_bytes=segment_bytes)
    for call in calls:
        assert journal.append(encode_call(call))
    journal.close()


def read_all(reader: Reader, limit: int = 5000) -> list[Record]:
    records: list[Record] = []
    while batch := reader.read(limit):
        assert len(batch) <= limit
        records += batch
    return records


def names(folder: Path) -> list[str]:
    """Segment files of a plane."""
    return sorted(path.name for path in folder.glob("*.jsonl"))
