"""What the control plane's tests are made of: calls, feedback, endpoints, a journal to write to, a played MLflow."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from headrace.base.clock import Clock, SystemClock
from headrace.store.db import Database
from headrace.store.journal.records import Record, encode_call, encode_event, encode_feedback
from headrace.store.journal.writer import Journal
from headrace.store.migrate import migrate
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName, PlaneEvent
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.errors import NotFound, UpstreamError
from headrace.types.model import Datatype, ModelVersion, Package, RuntimeKind, Signature, Stage, TensorSpec
from headrace.types.traffic import Reason, TrafficPolicy

START = 1_700_000_000.0
SIGNATURE = Signature(
    inputs=(TensorSpec(name="input", datatype=Datatype.FP64, shape=(-1, 2)),),
    outputs=(TensorSpec(name="label", datatype=Datatype.INT64, shape=(-1,)),),
)


def trace_id(number: int, time: float = START) -> str:
    return f"tr-{int(time * 1000):012x}{number:012x}{number % 7:08x}"


def call(number: int = 0, **changes: Any) -> Call:
    time = changes.pop("time", START + number * 0.1)
    values: dict[str, Any] = {
        "trace_id": trace_id(number, time),
        "time": time,
        "endpoint": "digits",
        "variant": "v1",
        "version": 1,
        "unit": f"{number % 5:016x}",
        "sticky": True,
        "counted": True,
        "reason": Reason.BUCKET,
        "status": CallStatus.OK,
        "latency_ms": 2.0,
        "input": [[1.0, 2.0]],
        "output": [number % 10],
    }
    return Call(**(values | changes))


def said(of: Call, name: str, value: Any, *, rater: str = "ann", after: float = 1.0) -> Feedback:
    return Feedback(
        id=f"fb_{of.trace_id[-12:]}_{name}_{rater}",
        trace_id=of.trace_id,
        name=name,
        value=value,
        rater=rater,
        time=of.time + after,
    )


def up(of: Call, **changes: Any) -> Feedback:
    return said(of, FeedbackName.RATING, True, **changes)


def down(of: Call, **changes: Any) -> Feedback:
    return said(of, FeedbackName.RATING, False, **changes)


def corrected(of: Call, value: Any, **changes: Any) -> Feedback:
    return said(of, FeedbackName.CORRECTION, value, **changes)


def version(number: int, name: str = "digits", stage: Stage = Stage.NONE) -> ModelVersion:
    return ModelVersion(name=name, version=number, uri=f"models:/{name}/{number}", stage=stage, sha256=f"{number:064x}")


def endpoint(name: str = "digits", model: str = "digits", *numbers: int) -> Endpoint:
    found = numbers or (1,)
    return Endpoint(
        name=name,
        model=model,
        variants=tuple(
            Variant(
                name=f"v{number}",
                model=version(number, model),
                package=Package(
                    id=f"{number:064x}",
                    model=model,
                    version=number,
                    source_sha256="",
                    runtime=RuntimeKind.ONNX,
                    signature=SIGNATURE,
                    files=(),
                ),
            )
            for number in found
        ),
        policy=TrafficPolicy(baseline=f"v{found[0]}"),
        selectors={str(number): f"v{number}" for number in found},
    )


@cache
def _empty_database() -> bytes:
    """A migration takes a tenth of a second, and there are hundreds of tests."""
    with tempfile.TemporaryDirectory() as folder:
        made = Database(f"sqlite:///{folder}/headrace.db")
        migrate(made)
        made.close()
        return Path(folder, "headrace.db").read_bytes()


@contextmanager
def open_database(folder: Path) -> Iterator[Database]:
    file = folder / "headrace.db"
    file.write_bytes(_empty_database())
    made = Database(f"sqlite:///{file}")
    yield made
    made.close()


@contextmanager
def open_journal(folder: Path, plane: str = "data", *, clock: Clock | None = None) -> Iterator[Journal]:
    journal = Journal(folder, plane, segment_bytes=4 << 20, segment_seconds=3600.0, clock=clock or SystemClock())
    try:
        yield journal
    finally:
        journal.close()


def write(journal: Journal, records: Sequence[Record]) -> None:
    for record in records:
        match record:
            case Call():
                line = encode_call(record)
            case Feedback():
                line = encode_feedback(record)
            case PlaneEvent():
                line = encode_event(record)
        assert journal.append(line)


class PlayedMlflow:
    """As store.traces.TraceSink, with a memory in place of a server. `away` and `hates` make it fail."""

    def __init__(self) -> None:
        self.traces: dict[str, Call] = {}
        self.assessments: dict[str, Feedback] = {}
        self.batches: list[int] = []
        self.away = False
        self.hates: set[str] = set()  # feedback ids
        self.poison: set[str] = set()  # trace ids

    def send(self, calls: Sequence[Call]) -> tuple[str, ...]:
        self._reach()
        self.batches.append(len(calls))
        taken = [c for c in calls if c.trace_id not in self.poison]
        self.traces |= {c.trace_id: c for c in taken}
        return tuple(c.trace_id for c in calls if c.trace_id in self.poison)

    def assess(self, feedback: Feedback) -> None:
        self._reach()
        if feedback.trace_id not in self.traces:
            raise NotFound("no such trace", field="trace_id")
        if feedback.id in self.hates:
            raise UpstreamError("MLflow could not: status 400")
        self.assessments[feedback.id] = feedback

    def has(self, trace: str) -> bool:
        self._reach()
        return trace in self.traces

    def _reach(self) -> None:
        if self.away:
            raise UpstreamError("MLflow does not answer", retry_after=5.0)
