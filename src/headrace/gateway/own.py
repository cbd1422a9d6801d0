"""A question of Headrace's own to one version of a chat endpoint: asked as callers' are, and answered to nobody.

Called by shadow.py, judging.py and checking.py. Decides that such a question spares the others: it counts in no limit
and in no budget of retries, a way that callers leave alone is not asked, and what it meets on a way of its own closes
that way to its like only. Its line is in the journal and its cost in the ledger, however it ends. A stream is gathered
to its end.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import msgspec

from headrace.compute.line import Headers
from headrace.gateway.attempts import in_order
from headrace.gateway.board import Lane, Version
from headrace.gateway.choose import Ready
from headrace.gateway.dialects.base import Asked, Dialect, Told
from headrace.gateway.ending import error_of
from headrace.gateway.guard import Guards
from headrace.gateway.health import Health
from headrace.gateway.heard import estimate, scrubbed, written
from headrace.gateway.native import Speech
from headrace.gateway.reach import Missed, Passage, Streamed, reach
from headrace.gateway.retry import Budget
from headrace.gateway.tally import Tally
from headrace.traffic import steps
from headrace.traffic.record import Open, Recorder, ending
from headrace.types.call import CallStatus
from headrace.types.endpoint import Capture
from headrace.types.errors import Blocked, HeadraceError, ModelFailed, TimedOut, UpstreamError
from headrace.types.gateway import Own, Spent, Usage, Wire
from headrace.types.step import Step
from headrace.types.traffic import Decision, Reason

_ONCE = (b"idempotency-key",)  # of a caller's headers: what says that a question is the same one
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`asked`: as the version dresses it. `of`: trace id of the call for which it is asked."""

    own: Own
    lane: Lane
    version: Version
    dialect: Dialect
    asked: Asked
    of: str
    tail: str = ""
    headers: Headers = field(default_factory=list)


@dataclass(slots=True)
class _Course:
    """How far it has come."""

    passage: Passage | None = None
    ready: Ready | None = None
    told: Told = field(default_factory=Told)
    guards: Guards | None = None


class Asker:
    """Of one data plane."""

    def __init__(self, recorder: Recorder, tally: Tally) -> None:
        self.recorder = recorder
        self.tally = tally
        self._steady = recorder.clock.steady
        self._health: dict[tuple[str, str], Health] = {}
        self._budgets: dict[str, Budget] = {}

    def line(self, lane: Lane, version: Version, *, protocol: Wire) -> Open:
        """For what was nobody's call."""
        line = self.recorder.open(
            lane.endpoint.name, protocol=protocol.value, revision=lane.endpoint.revision, user="", parent=""
        )
        line.routed(Decision(variant=version.name, reason=Reason.GATE, sticky=False, counted=False), version.number)
        return line

    async def put(self, question: Question, line: Open, *, seconds: float) -> Told:
        """`line`: of the journal, for what comes of it. Raises HeadraceError."""
        began, course = self._steady(), _Course()
        status, error = CallStatus.FAILED, "interrupted"
        try:
            await self._ask(question, course, began, began + seconds)
            status, error = CallStatus.OK, ""
        except HeadraceError as failed:
            status, error = ending(failed), failed.sentence()
            raise
        except asyncio.CancelledError:  # we are going: that says nothing of the version
            status = CallStatus.SHED
            raise
        finally:
            line.latency_ms = round((self._steady() - began) * 1000, 3)
            self._write(question, line, course, status, error)
        return course.told

    async def _ask(self, question: Question, course: _Course, began: float, ends: float) -> None:
        version = self._spared(question.version, began)
        asked = question.asked
        if version.before or version.after:
            course.guards = Guards(version.before, version.after)
            asked = course.guards.asked(asked)
        lane = question.lane
        budget = self._budgets.setdefault(lane.endpoint.name, Budget())
        course.passage = Passage(
            dialect=question.dialect,
            asked=asked,
            tail=question.tail,
            forwarded=[header for header in question.headers if header[0] not in _ONCE],
            lane=replace(lane, budget=budget),
            version=version,
            key="",
            began=began,
            ends=ends,
            steady=self._steady,
            beside=question.own is Own.SHADOW,
        )
        got = await reach(course.passage)
        course.ready = got.ready
        if isinstance(got, Missed):
            raise error_of(got, lane.endpoint.name)
        if isinstance(got, Streamed):
            course.told = got.course.told
            await _gather(got)
        else:
            course.told = got.told
        if course.guards is not None and course.told.text:
            _hear(course.guards, course.told.text)

    def _spared(self, version: Version, now: float) -> Version:
        """With ways whose health is its own, and without those that callers leave alone."""
        own = [
            replace(ready, health=self._health.setdefault((ready.way.provider, ready.way.model), Health()))
            for ready in version.ways
            if ready.health.available(now)
        ]
        return replace(version, ways=tuple(own))

    def _write(self, question: Question, line: Open, course: _Course, status: CallStatus, error: str) -> None:
        told, ready, passage, lane = course.told, course.ready, course.passage, question.lane
        speech = passage.speech if passage else None
        usage, estimated = told.usage, False
        if usage is None:
            usage, estimated = _untold(question, told, speech)
        own = speech.usage.money if speech and speech.usage else 0.0  # what a model of ours paid for itself
        spent = Spent(
            usage=usage,
            cost=own + (ready.tariff.cost(usage, line.time) if ready else 0.0),
            provider=ready.way.provider if ready else "",
            model=(told.model or ready.way.model) if ready else "",
            key=question.own.value,
            wait_ms=round(passage.waited * 1000, 3) if passage else 0.0,
            attempts=passage.attempts if passage else 0,
            finish=told.finish,
            estimated=estimated,
            guards=course.guards.memory.told if course.guards else {},
            of=question.of,
            steps=_steps(speech, passage, lane.endpoint.capture) if speech and passage else (),
            tried=in_order(passage.attempted) if passage else (),
        )
        line.status, line.error, line.rows = status, error, 1
        line.run_ms = spent.wait_ms
        line.spent = msgspec.Raw(_encoder.encode(spent))
        if lane.captured:
            output = written(told, speech if lane.native else None)
            line.output = self.recorder.kept(scrubbed(output) if lane.masked else output)
        self.recorder.write(line)
        self.tally.asked(question.own, lane.endpoint.name, status, spent.cost)


def _untold(question: Question, told: Told, speech: Speech | None) -> tuple[Usage, bool]:
    """And whether it is only estimated."""
    if speech is not None and speech.usage is not None:
        return Usage(input=speech.usage.prompt_tokens, output=speech.usage.completion_tokens), False
    return estimate(question.asked, told) if told.text else Usage(), True


def _steps(speech: Speech, passage: Passage, capture: Capture) -> tuple[Step, ...]:
    return steps.told(speech.steps, offset_ms=(speech.began - passage.began) * 1000, capture=capture)


def _hear(guards: Guards, text: str) -> None:
    """What a guard stops in an answer is the model's failure."""
    try:
        guards.hear(text)
    except Blocked as error:
        raise ModelFailed(f"the answer was stopped by a guard: {error.message}") from error


async def _gather(streamed: Streamed) -> None:
    """To its end; what it says is in its course. Raises UpstreamError, TimedOut."""
    answer, course, told = streamed.answer, streamed.course, streamed.course.told
    failed: HeadraceError | None = None
    left = True
    try:
        await answer.flow(lambda piece: course.feed(piece) is not None)
        course.rest()
        if not told.ended and told.failure is None:
            raise streamed.cut()
        left = False
    except (UpstreamError, TimedOut) as error:
        failed, left = error, False
        raise
    finally:
        streamed.close(failed, left=left)
    if told.failure is not None:
        raise UpstreamError(told.message or "an error inside the stream")
