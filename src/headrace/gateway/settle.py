"""The end of a call to a chat model: what it used, what it cost, and its line in the journal.

Called by complete.py, once a call, however it ended. Decides what is billed where nobody told the usage: what was sent,
and what had been heard. Ignores what becomes of the line: it is the ledger.
"""

from __future__ import annotations

import msgspec

from headrace.gateway.attempts import in_order
from headrace.gateway.board import Version
from headrace.gateway.dialects.base import Asked
from headrace.gateway.heard import LETTERS, estimate, scrubbed, written
from headrace.gateway.native import Speech
from headrace.gateway.shadow import Shadows
from headrace.gateway.tally import Tally
from headrace.gateway.visit import Visit
from headrace.store.journal.records import SpentRow
from headrace.traffic import steps
from headrace.traffic.limit import Limiter
from headrace.traffic.price import UNPRICED
from headrace.traffic.record import Recorder
from headrace.types.call import CallStatus
from headrace.types.gateway import Usage
from headrace.types.step import Step

ANSWER_TOKENS = 512  # reserved where the caller named no bound


class Settlement:
    def __init__(self, limiter: Limiter, recorder: Recorder, tally: Tally, shadows: Shadows) -> None:
        self.limiter = limiter
        self.recorder = recorder
        self.tally = tally
        self.shadows = shadows

    def end(self, visit: Visit, status: CallStatus, *, error: str = "") -> None:
        """What it used and cost, and its line."""
        call, told, ready, request, caller = visit.call, visit.told, visit.ready, visit.request, visit.caller
        shadowed = visit.lane.policy.shadow is not None
        copy = self.shadows.copy(visit) if shadowed and status is CallStatus.OK else None
        passage = visit.passage
        speech = None if passage is None else passage.speech
        usage, estimated = told.usage, False
        if visit.cached:
            usage = Usage()
        elif usage is None:
            usage, estimated = _untold(visit, speech)
        cost = ready.tariff.cost(usage, call.time) if ready is not None else 0.0
        if speech is not None and speech.usage is not None:
            cost += speech.usage.money  # what it paid for itself
        if passage is None and not visit.cached:
            self.limiter.release(visit.grant)
        else:
            self.limiter.settle(visit.grant, tokens=usage.total, cost=cost)
        waited, attempts = (0.0, 0) if passage is None else (passage.waited, passage.attempts)
        spent = SpentRow(
            usage=usage,
            cost=cost,
            provider="" if ready is None else ready.way.provider,
            model="" if ready is None else told.model or ready.way.model,
            key=caller.key,
            team=caller.team,
            workspace=caller.workspace,
            user=call.unit if call.sticky else "",  # as limits count them, so that the ledger can tell their counters
            first_ms=round((visit.first - visit.began) * 1000, 3) if visit.first else 0.0,
            wait_ms=round(waited * 1000, 3),
            attempts=attempts,
            finish=told.finish,
            estimated=estimated,
            cached=visit.cached,
            similarity=round(visit.similarity, 4),
            conversation=request.conversation,
            message=request.message,
            task=request.task,
            guards=visit.guards.memory.told if visit.guards else {},
            alone=shadowed and copy is None,
            steps=() if speech is None else _steps(visit, speech),
            tried=() if passage is None or not passage.attempted else in_order(passage.attempted),
        )
        call.spent = spent  # type: ignore[assignment]  # it becomes JSON with its line, in one go
        call.rows = 1
        if visit.lane.captured:
            if visit.lane.native is not None and speech is not None:
                call.input = self._kept(visit, speech.input)
            output = written(told, speech if visit.lane.native else None)
            call.output = self._kept(visit, output) if visit.lane.masked else self.recorder.kept(output)
        seconds = self.recorder.close(call, status, began=visit.began, run_seconds=waited, error=error)
        self.tally.spent(call.endpoint, call.variant, usage, cost)
        if visit.first:
            self.tally.streamed(call.endpoint, call.variant, visit.first - visit.began)
        else:
            self.tally.answered(call.endpoint, call.variant, seconds - waited)
        if copy is not None:
            self.shadows.offer(copy)

    def _kept(self, visit: Visit, text: bytes | msgspec.Raw) -> msgspec.Raw:
        return self.recorder.kept(scrubbed(text) if visit.lane.masked else text)


def expected(asked: Asked, version: Version, size: int, *, now: float) -> tuple[int, float]:
    """Tokens and cost to be reserved: all that was sent, and the longest answer that may come."""
    sent, answered = size // LETTERS, asked.max_tokens or ANSWER_TOKENS
    tariff = version.ways[0].tariff if version.ways else UNPRICED
    return sent + answered, tariff.upto(sent, answered, now)


def _untold(visit: Visit, speech: Speech | None) -> tuple[Usage, bool]:
    """And whether it is only estimated. What a program asked is known also when it came to nothing."""
    if speech is not None and speech.usage is not None:
        return Usage(input=speech.usage.prompt_tokens, output=speech.usage.completion_tokens), False
    if visit.ready is None or (not visit.first and not visit.told.text):
        return Usage(), True
    return estimate(visit.asked, visit.told), True


def _steps(visit: Visit, speech: Speech) -> tuple[Step, ...]:
    """What the program did that answered."""
    offset = (speech.began - visit.began) * 1000
    return steps.told(speech.steps, offset_ms=offset, capture=visit.lane.endpoint.capture)
