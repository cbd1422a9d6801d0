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
from headrace.serving import spent
from headrace.serving.answer import to_json
from headrace.serving.codec import Codec
from headrace.serving.run import Place, Wait, run
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.serving.table import Lane, Loaded, Table
from headrace.traffic import colour
from headrace.traffic.record import HUNG_UP, Open, Recorder, ending
from headrace.traffic.route import Header, decide, owned
from headrace.types.call import CallStatus
from headrace.types.endpoint import Endpoint
from headrace.types.errors import HeadraceError, TimedOut
from headrace.types.model import Signature
from headrace.types.traffic import Decision, Reason


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
    colour: str = ""  # what was decided before the request came here


@dataclass(slots=True)
class Answer:
    call: Open  # the line that was written
    body: bytes  # what the dialect wrote


class Predictor:
    """`table` is the plan in force; fleet.py replaces the reference, never the content."""

    def __init__(self, recorder: Recorder) -> None:
        self.table = Table()
        self.recorder = recorder
        self._steady = recorder.clock.steady

    async def predict(self, request: Request, dialect: Dialect) -> Answer:
        began, ran, seconds = self._steady(), 0.0, 0.0
        loaded: Loaded | None = None
        inputs: Inputs | None = None
        table = self.table  # one plan for the whole call
        lane = table.admitted(request.header, request.model)  # admit: who, and to what
        endpoint, record = lane.endpoint, self.recorder
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
                if decision.reason is Reason.FORCED or request.colour or lane.coloured:
                    decision = self._settled(table, lane, request, call, decision)
                loaded = lane.variant(decision.variant)
                held = place.hold(loaded)
                parts = held if lane.adapted is None else lane.adapted.get(decision.variant, held)
                codec = parts.codec
                call.routed(decision, loaded.package.version)
                read, inputs = self._steady(), dialect.read(codec)
                call.rows = lane.bounded(inputs.rows)
                if parts.elsewhere:
                    _send_along(inputs, call, request)
                if lane.captured:
                    call.input = record.kept(dialect.kept(inputs))
                # A gate asks the model, not what it said before.
                ran, cache = self._steady(), lane.cache if call.reason is not Reason.GATE else None
                outputs = await run(parts, inputs, place, _wait(request, endpoint), cache)
                seconds = self._steady() - ran
                call.spent = call.spent if inputs.spent is None else _spent(inputs, lane, ran - began)
                shown = dialect.plain or (lane.captured and record.keeps(outputs[0].size))
                result = to_json(outputs[0], codec.signature.outputs[0]) if shown else None
                body = dialect.write(outputs, codec.signature, result)
                if lane.captured:
                    call.output = record.kept(result)
        except BaseException as error:  # re-raised: also a bug of ours, or a shutdown, leaves its line in the journal
            self._failed(lane, loaded, call, error, _Attempt(request, dialect, began, ran, inputs))
            raise
        total = record.close(call, CallStatus.OK, began=began, run_seconds=seconds)
        loaded.statistics.answered(
            call.rows, now=call.time, decode=ran - read, encode=total - (ran - began) - seconds, total=total
        )
        if lane.shadow is not None:
            lane.shadow.offer(call, inputs, outputs, source=dialect, header=request.header)
        return Answer(call=call, body=body)

    def _settled(self, table: Table, lane: Lane, request: Request, call: Open, decision: Decision) -> Decision:
        """A gate is known by its token; else follow what was decided before, and tell what is decided here."""
        if decision.reason is Reason.FORCED:
            decision = owned(decision, self.recorder.gate_token, request.header)
        if decision.reason is Reason.GATE or not (request.colour or lane.coloured):
            return decision
        name, policy, prove = lane.endpoint.name, lane.policy, self.recorder.proof
        if not request.colour:
            call.colour = colour.alone(decision, endpoint=name, policy=policy, unit=call.unit, prove=prove)
            return decision
        marks = colour.read(request.colour)
        here = colour.Here(
            endpoint=name,
            policy=policy,
            loaded=lane.loaded,
            others=table.policy,
            unit=call.unit,
            prove=prove,
        )
        decision = colour.follow(marks, decision, here)
        own = colour.mark(decision, endpoint=name, policy=policy, unit=call.unit, prove=prove)
        call.colour = colour.write(colour.added(marks, own))
        return decision

    def _failed(self, lane: Lane, loaded: Loaded | None, call: Open, error: BaseException, attempt: _Attempt) -> None:
        """Record it as what it was, and tell the caller under which trace id."""
        if isinstance(error, HeadraceError):
            error.trace_id, error.variant = call.trace_id, call.variant
            status, told = ending(error), error.sentence()
        elif isinstance(error, asyncio.CancelledError) and error.args == (HUNG_UP,):
            status, told = CallStatus.TIMEOUT, HUNG_UP  # counted: a variant that callers do not wait for is a bad one
        else:
            call.counted = False  # not the model's doing
            status, told = CallStatus.FAILED, f"interrupted: {type(error).__name__}"
        ran = self._steady() - attempt.ran if attempt.ran else 0.0
        if attempt.inputs is not None and attempt.inputs.spent is not None:  # also what became no answer
            call.spent = _spent(attempt.inputs, lane, attempt.ran - attempt.began)
        seconds = self.recorder.close(call, status, began=attempt.began, run_seconds=ran, error=told)
        if loaded is not None:
            loaded.statistics.fail.add(seconds)
            _blame(lane, call, error, attempt)


def _send_along(inputs: Inputs, call: Open, request: Request) -> None:
    """What a service elsewhere, or a language model that a program asks, is told of the call."""
    inputs.trace = call.trace_id
    if call.colour:
        inputs.travels = colour.travels(request.header(colour.BAGGAGE), call.colour)


def _spent(inputs: Inputs, lane: Lane, seconds: float) -> msgspec.Raw:
    """`seconds`: from when the call was accepted until its model was asked."""
    return spent.told(inputs, offset_ms=seconds * 1000, captured=lane.captured)


def _wait(request: Request, endpoint: Endpoint) -> Wait:
    """The shorter of the endpoint's time and the caller's own."""
    limit = endpoint.limits.timeout_ms
    timeout_ms = min(limit, request.timeout_ms) if request.timeout_ms > 0 else limit
    return Wait(timeout_ms / 1000, request.queue_timeout_us / 1e6, request.priority)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A call that failed; by the steady clock, when it was accepted and when its model was asked (0: never)."""

    request: Request
    dialect: Dialect
    began: float
    ran: float
    inputs: Inputs | None


def _blame(lane: Lane, call: Open, error: BaseException, attempt: _Attempt) -> None:
    """Tell who watches the live version; not when it was the caller who would not wait."""
    sentinel = lane.sentinel
    if sentinel is None or call.variant != sentinel.variant or call.reason is Reason.GATE:
        return
    hasty = isinstance(error, TimedOut) and 0 < attempt.request.timeout_ms < lane.endpoint.limits.timeout_ms
    if not hasty and isinstance(error, HeadraceError) and ending(error) in (CallStatus.FAILED, CallStatus.TIMEOUT):
        sentinel.failed(call.rows, attempt.dialect.read)
