"""A provider's own API, whatever it is: a request goes on as it came, with our key instead of the caller's.

Called by the edge for /passthrough/{provider}/…. For what no dialect reads: files, batches, fine-tuning, what is new
today. Decides only who may (a scope of its own) and how often (limits of requests); what a call used nobody knows.
Recorded under the name passthrough/PROVIDER, as evidence of nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.base.log import trace
from headrace.compute.line import Headers
from headrace.gateway.board import Boards
from headrace.gateway.ending import key_refused
from headrace.gateway.relay import Sink
from headrace.gateway.station import passed_back
from headrace.traffic.limit import Grant, Limiter
from headrace.traffic.record import Recorder, ending
from headrace.traffic.route import Header
from headrace.types.call import CallStatus
from headrace.types.errors import HeadraceError
from headrace.types.gateway import Scope

SECONDS = 600.0
LOCKED_OUT = 401  # our key, not the caller's; what else is refused may be about what was asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """`path`: below the provider's URL, encoded, with its query."""

    provider: str
    method: str
    path: str
    body: bytes
    header: Header
    headers: Headers
    user: str = ""
    parent: str = ""


class Passer:
    def __init__(self, boards: Boards, limiter: Limiter, recorder: Recorder) -> None:
        self._boards = boards
        self._limiter = limiter
        self._recorder = recorder

    async def go(self, request: RawRequest, sink: Sink) -> None:
        """The answer is written as it comes. Raises before its first byte."""
        began = self._recorder.clock.steady()
        board = self._boards.now
        caller = board.callers.of(request.header)
        caller.permit(Scope.PASSTHROUGH)
        station = board.station(request.provider)
        name = f"passthrough/{station.name}"
        call = self._recorder.open(
            name,
            protocol="raw",
            revision=board.revision,
            user=caller.user or request.user,
            parent=request.parent,
        )
        call.variant = station.name
        trace.set(call.trace_id)
        status, told, grant = CallStatus.FAILED, "interrupted", Grant()
        try:
            grant = await self._limiter.reserve(caller, name)
            answer = await station.pass_on(
                request.method.encode("latin-1"), request.path, request.headers, request.body, seconds=SECONDS
            )
            try:
                if answer.status == LOCKED_OUT:
                    raise key_refused(station.name, answer.status)
                sink.begin(answer.status, [*passed_back(answer.headers), (b"x-headrace-trace", call.trace_id.encode())])
                while await answer.flow(sink.put):
                    await sink.drained()
            finally:
                answer.close()
            sink.end()
            bad = CallStatus.FAILED if answer.status >= 500 else CallStatus.REJECTED
            status, told = (CallStatus.OK, "") if answer.status < 400 else (bad, f"status {answer.status}")
        except HeadraceError as error:
            error.trace_id, error.variant = call.trace_id, call.variant
            status, told = ending(error), error.sentence()
            raise
        finally:
            self._limiter.settle(grant)
            self._recorder.close(call, status, began=began, error=told)
