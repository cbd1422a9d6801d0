"""One call, one line in the journal, one count in the meter; also for calls that failed.

Called by serving/predict.py and gateway/complete.py: open() when a call is accepted, close() when its answer (or its
error) is ready.
Decides what stands for the user (a keyed hash), and how much of input and output is kept.
Ignores what happens to the line afterwards: the journal makes it durable, others read it.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from headrace.base.clock import Clock
from headrace.base.ids import TraceIds, keyed_hash, token_of
from headrace.store.journal.records import CallRow, encode_call
from headrace.traffic.meter import Meter
from headrace.types.call import CallStatus
from headrace.types.errors import CallerError, HeadraceError, Overloaded, TimedOut
from headrace.types.traffic import Decision, Reason

# Of input and of output, in bytes of JSON: a batch larger than this is recorded without them, so that one caller
# cannot push everyone else's records out of the journal's segments.
CAPTURE_LIMIT = 256 * 1024
GATE_PURPOSE = "gates"  # of the token with which the control plane marks its own questions
_ERROR_LIMIT = 1000  # characters
NOTHING = msgspec.Raw(b"null")
HUNG_UP = "the caller hung up"  # what a call is cancelled with when nobody waits for its answer any more


class Journal(Protocol):
    lost: int

    def append(self, line: bytes) -> bool: ...


class Open(CallRow, kw_only=True, omit_defaults=True):
    """A call under way: its line, filled in by the spine as it learns more, so that a failure records what was known
    by then. It is what is stored, so that the hot path builds one object and not a noun and its copy."""

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
        self.gate_token = token_of(unit_key, GATE_PURPOSE)
        self._unit_key = unit_key

    def open(self, endpoint: str, *, protocol: str, revision: int, user: str, parent: str) -> Open:
        now = self.clock.now()
        trace_id = self.ids.mint(now)
        return Open(
            trace_id=trace_id,
            time=now,
            endpoint=endpoint,
            variant="",
            version=0,
            # Without a user the call is its own unit: it counts once, as a unit that never comes again.
            unit=keyed_hash(self._unit_key, user) if user else trace_id,
            sticky=bool(user),
            counted=False,
            reason=Reason.BUCKET,
            status="",
            latency_ms=0.0,
            rows=0,
            revision=revision,
            protocol=protocol,
            parent=parent,
        )

    def shadow(self, of: Open, *, variant: str, version: int) -> Open:
        """The line of a copy of a call, that somebody else answers as well. It is evidence of nothing by itself."""
        now = self.clock.now()
        return Open(
            trace_id=self.ids.mint(now),
            time=now,
            endpoint=of.endpoint,
            variant=variant,
            version=version,
            unit=of.unit,
            sticky=of.sticky,
            counted=False,
            reason=of.reason,
            status="",
            latency_ms=0.0,
            rows=of.rows,
            revision=of.revision,
            protocol=of.protocol,
            shadow_of=of.trace_id,
        )

    def write(self, call: Open) -> None:
        """A line that is filled in, and in no figure of live calls."""
        call.error = call.error[:_ERROR_LIMIT]
        self.journal.append(encode_call(call))

    def proof(self, salt: str, endpoint: str, variant: str, unit: str) -> str:
        """That a bucket gave this unit this variant; nobody without the key can write it."""
        return keyed_hash(self._unit_key, f"colour\n{salt}\n{endpoint}\n{variant}\n{unit}")

    def hashed(self, user: str) -> str:
        """What stands for this user in every record."""
        return keyed_hash(self._unit_key, user)

    def close(
        self, call: Open, status: CallStatus, *, began: float, run_seconds: float = 0.0, error: str = ""
    ) -> float:
        """Write it down; returns the seconds since `began`, when it was accepted by the steady clock."""
        seconds = self.clock.steady() - began
        call.status = status
        call.latency_ms = round(seconds * 1000, 3)
        call.run_ms = round(run_seconds * 1000, 3)
        call.error = error[:_ERROR_LIMIT]
        if call.reason is Reason.GATE:
            self.meter.count("headrace_gate_calls_total", status)
        else:
            self.meter.call(
                call.endpoint, call.variant, status, seconds=seconds, run_seconds=run_seconds, rows=call.rows
            )
        self.journal.append(encode_call(call))  # when there is no room it counts the loss itself
        return seconds

    def keeps(self, values: int) -> bool:
        """False when so many values are surely too much: one is two characters of JSON at least."""
        return values * 2 <= CAPTURE_LIMIT

    def kept(self, value: bytes | msgspec.Raw | None) -> msgspec.Raw:
        """Input or output for the line, as the JSON that it is; nothing when it is too large (None: surely is)."""
        if value is None or len(value) > CAPTURE_LIMIT:
            self.meter.count("headrace_capture_dropped_total")
            return NOTHING
        return msgspec.Raw(value)


def ending(error: HeadraceError) -> CallStatus:
    """What a call was that ended with this."""
    if isinstance(error, CallerError):
        return CallStatus.REJECTED
    if isinstance(error, TimedOut):
        return CallStatus.TIMEOUT
    return CallStatus.SHED if isinstance(error, Overloaded) else CallStatus.FAILED
