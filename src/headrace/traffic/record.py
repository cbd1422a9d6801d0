"""One call, one line in the journal, one count in the meter; also for calls that failed.

Called by serving/predict.py: open() when a call is accepted, close() when its answer (or its error) is ready.
Decides what stands for the user (a keyed hash), and how much of input and output is kept.
Ignores what happens to the line afterwards: the journal makes it durable, others read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

from headrace.base.clock import Clock
from headrace.base.ids import TraceIds, keyed_hash
from headrace.store.journal.records import encode_call
from headrace.traffic.meter import Meter
from headrace.types.call import Call, CallStatus
from headrace.types.traffic import Decision, Reason

# Of input and of output, in bytes of JSON: a batch larger than this is recorded without them, so that one caller
# cannot push everyone else's records out of the journal's segments.
CAPTURE_LIMIT = 256 * 1024
_ERROR_LIMIT = 1000  # characters


class Journal(Protocol):
    lost: int

    def append(self, line: bytes) -> bool: ...


@dataclass(slots=True, kw_only=True)
class Open:
    """A call under way; the spine fills it in as it learns more, so that a failure records what was known by then."""

    trace_id: str
    time: float
    started: float  # steady clock
    endpoint: str
    protocol: str
    revision: int
    capture: bool
    unit: str = ""
    sticky: bool = False
    counted: bool = False
    reason: Reason = Reason.BUCKET
    variant: str = ""
    version: int = 0
    rows: int = 0
    run_seconds: float = 0.0
    parent: str = ""
    input: bytes | msgspec.Raw | None = None

    def routed(self, decision: Decision, version: int) -> None:
        self.variant = decision.variant
        self.version = version
        self.reason = decision.reason
        self.counted = decision.counted


class Recorder:
    def __init__(self, journal: Journal, ids: TraceIds, unit_key: bytes, meter: Meter, clock: Clock) -> None:
        self.journal = journal
        self.ids = ids
        self.meter = meter
        self.clock = clock
        self._unit_key = unit_key

    def open(self, endpoint: str, *, protocol: str, revision: int, capture: bool, user: str, parent: str) -> Open:
        now = self.clock.now()
        trace_id = self.ids.mint(now)
        return Open(
            trace_id=trace_id,
            time=now,
            started=self.clock.steady(),
            endpoint=endpoint,
            protocol=protocol,
            revision=revision,
            capture=capture,
            # Without a user the call is its own unit: it counts once, as a unit that never comes again.
            unit=self.hashed(user) if user else trace_id,
            sticky=bool(user),
            parent=parent,
        )

    def hashed(self, user: str) -> str:
        """What stands for this user in every record."""
        return keyed_hash(self._unit_key, user)

    def close(self, call: Open, status: CallStatus, *, output: bytes | None = None, error: str = "") -> float:
        """Write it down; returns the latency in milliseconds."""
        seconds = self.clock.steady() - call.started
        self.meter.call(
            call.endpoint, call.variant, status, seconds=seconds, run_seconds=call.run_seconds, rows=call.rows
        )
        line = encode_call(
            Call(
                trace_id=call.trace_id,
                time=call.time,
                endpoint=call.endpoint,
                variant=call.variant,
                version=call.version,
                unit=call.unit,
                sticky=call.sticky,
                counted=call.counted,
                reason=call.reason,
                status=status,
                latency_ms=round(seconds * 1000, 3),
                run_ms=round(call.run_seconds * 1000, 3),
                rows=call.rows,
                revision=call.revision,
                protocol=call.protocol,
                error=error[:_ERROR_LIMIT],
                input=self._kept(call.input) if call.capture else None,
                output=self._kept(output) if call.capture else None,
                parent=call.parent,
                colour=call.variant,
            )
        )
        self.journal.append(line)  # when there is no room it counts the loss itself
        return seconds * 1000

    def _kept(self, value: bytes | msgspec.Raw | None) -> msgspec.Raw | None:
        """The JSON as it came; encode_call keeps the line whole."""
        if value is None:
            return None
        if len(value) > CAPTURE_LIMIT:
            self.meter.count("headrace_capture_dropped_total")
            return None
        return msgspec.Raw(value)
