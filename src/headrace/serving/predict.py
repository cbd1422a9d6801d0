"""One prediction: admit → route → decode → run → encode → record. Read this first.

Called by the edges (api/http/predict.py, api/http/infer.py), which bring a Dialect: how their protocol writes inputs
and answers. Decides the order, and what kind of ending each error is. Ignores HTTP and where models are from.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

import msgspec

from headrace.base.log import trace
from headrace.serving.answer import to_json
from headrace.serving.codec import Codec
from headrace.serving.run import Place, Wait, run
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.serving.table import Lane, Loaded, Table
from headrace.traffic.record import Open, Recorder
from headrace.traffic.route import Header, decide, owned
from headrace.types.call import CallStatus
from headrace.types.endpoint import Endpoint
from headrace.types.errors import CallerError, HeadraceError, Overloaded, TimedOut
from headrace.types.model import Signature
from headrace.types.traffic import Reason

HUNG_UP = "the caller hung up"  # what a call is cancelled with when nobody waits for its answer any more


class Dialect(Protocol):
    """A protocol's form of one request. `plain`: its answer is the first output as JSON."""

    name: str
    plain: bool

    def read(self, codec: Codec) -> Inputs: ...

    def kept(self, inputs: Inputs) -> bytes | msgspec.Raw | None:
        """The inputs as /predict would have written them, for the journal; None: more than it keeps."""
        ...

    def write(self, outputs: Outputs, signature: Signature, result: bytes | None) -> bytes:
        """`result` is the first output as JSON, if the dialect is plain or the journal keeps it."""
        ...


@dataclass(slots=True, kw_only=True)
class Request:
    model: str
    wanted: str | None  # version, stage or alias; None: the endpoint's traffic policy
    user: str
    header: Header
    parent: str = ""
    priority: int = 0  # 1 is the highest; 0: the endpoint's default
    queue_timeout_us: int = 0  # in the queue of the model; 0: the endpoint's
    timeout_ms: int = 0  # the caller's own deadline; 0: the endpoint's


@dataclass(slots=True)
class Answer:
    call: Open  # the line that was written
    body: bytes  # what the dialect wrote


class Predictor:
    """`table` is the plan in force; fleet.py replaces the reference, never the content."""

    def __init__(self, recorder: Recorder) -> None:
        self.table = Table()
        self.recorder = self._recorder = recorder
        self._steady = recorder.clock.steady

    async def predict(self, request: Request, dialect: Dialect) -> Answer:
        began, ran, seconds = self._steady(), 0.0, 0.0
        loaded: Loaded | None = None
        table = self.table  # one plan for the whole call
        table.keyring.check(request.header)  # admit: who
        lane = table.lane(request.model)
        endpoint, record = lane.endpoint, self._recorder
        call = record.open(
            endpoint.name,
            protocol=dialect.name,
            revision=table.revision,
            user=request.user,
            parent=request.parent,
        )
        trace.set(call.trace_id)
        try:
            with Place(lane.gate) as place:  # admit: how many
                decision = decide(
                    lane.policy,
                    unit=call.unit,
                    sticky=call.sticky,
                    header=request.header,
                    selectors=endpoint.selectors,
                    wanted=request.wanted,
                )
                if decision.reason is Reason.FORCED:
                    decision = owned(decision, record.gate_token, request.header)
                loaded = lane.variant(decision.variant)
                parts = place.hold(loaded)
                codec = parts.codec
                call.routed(decision, loaded.package.version)
                read = self._steady()
                inputs = dialect.read(codec)
                call.rows = lane.bounded(inputs.rows)
                if lane.captured:
                    call.input = record.kept(dialect.kept(inputs))
                # A gate asks the model, not what it said before.
                ran, cache = self._steady(), lane.cache if call.reason is not Reason.GATE else None
                outputs = await run(parts, inputs, place, _wait(request, endpoint), cache)
                seconds = self._steady() - ran
                shown = dialect.plain or (lane.captured and record.keeps(outputs[0].size))
                result = to_json(outputs[0], codec.signature.outputs[0]) if shown else None
                body = dialect.write(outputs, codec.signature, result)
                if lane.captured:
                    call.output = record.kept(result)
        except BaseException as error:  # re-raised: also a bug of ours, or a shutdown, leaves its line in the journal
            total = self._failed(call, error, began=began, run_seconds=self._steady() - ran if ran else 0.0)
            if loaded is not None:
                _blame(lane, loaded, call, error, again=_Again(request, dialect, total))
            raise
        total = record.close(call, CallStatus.OK, began=began, run_seconds=seconds)
        encode = total - (ran - began) - seconds
        loaded.statistics.answered(call.rows, now=call.time, decode=ran - read, encode=encode, total=total)
        if lane.shadow is not None:
            lane.shadow.offer(call, inputs, outputs, source=dialect, header=request.header)
        return Answer(call=call, body=body)

    def _failed(self, call: Open, error: BaseException, *, began: float, run_seconds: float) -> float:
        """Record it as what it was, and tell the caller under which trace id. Returns the seconds it took."""
        if isinstance(error, HeadraceError):
            error.trace_id, error.variant = call.trace_id, call.variant
            status, told = ending(error), error.sentence()
        elif isinstance(error, asyncio.CancelledError) and error.args == (HUNG_UP,):
            status, told = CallStatus.TIMEOUT, HUNG_UP  # counted: a variant that callers do not wait for is a bad one
        else:
            call.counted = False  # not the model's doing
            status, told = CallStatus.FAILED, f"interrupted: {type(error).__name__}"
        return self._recorder.close(call, status, began=began, run_seconds=run_seconds, error=told)


def _wait(request: Request, endpoint: Endpoint) -> Wait:
    """The shorter of the endpoint's time and the caller's own."""
    limit = endpoint.limits.timeout_ms
    timeout_ms = min(limit, request.timeout_ms) if request.timeout_ms > 0 else limit
    return Wait(timeout_ms / 1000, request.queue_timeout_us / 1e6, request.priority)


@dataclass(frozen=True, slots=True)
class _Again:
    """A call that failed, after so many seconds."""

    request: Request
    dialect: Dialect
    seconds: float


def _blame(lane: Lane, loaded: Loaded, call: Open, error: BaseException, *, again: _Again) -> None:
    """Count it, and tell who watches the live version; not when it was the caller who would not wait."""
    loaded.statistics.fail.add(again.seconds)
    sentinel = lane.sentinel
    if sentinel is None or call.variant != sentinel.variant or call.reason is Reason.GATE:
        return
    hasty = isinstance(error, TimedOut) and 0 < again.request.timeout_ms < lane.endpoint.limits.timeout_ms
    if not hasty and isinstance(error, HeadraceError) and ending(error) in (CallStatus.FAILED, CallStatus.TIMEOUT):
        sentinel.failed(call.rows, again.dialect.read)


def ending(error: HeadraceError) -> CallStatus:
    if isinstance(error, CallerError):
        return CallStatus.REJECTED
    if isinstance(error, TimedOut):
        return CallStatus.TIMEOUT
    return CallStatus.SHED if isinstance(error, Overloaded) else CallStatus.FAILED
