"""Judges at work: a chat endpoint is asked whether what a caller says, or a model answers, may pass.

Called by complete.py for versions with a guard of kind `judge`, before anybody is asked and before an answer is given;
of a stream nothing is let go until then. Decides whose fault a no is, and that no answer in time, or none that can be
read, is a no: guards are closed. Each verdict is a line of the journal of its own, with the trace id of the call that
it is about. A judge's question is judged by nobody, so that no judge comes to ask itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.gateway.board import Boards
from headrace.gateway.dialects.base import KEPT, Asked, Told
from headrace.gateway.dialects.fields import count, read, value
from headrace.gateway.dialects.registry import DIALECTS
from headrace.gateway.guards.judge import Judge, verdict_of
from headrace.gateway.heard import scrubbed, written
from headrace.gateway.own import Asker, Question
from headrace.gateway.visit import Visit, said
from headrace.traffic.record import NOTHING
from headrace.types.errors import Blocked, HeadraceError, ModelFailed, Unavailable
from headrace.types.gateway import Own, Wire

_SEVERAL = frozenset(("n",))
_BESIDE = ("system", "instructions", "systemInstruction", "system_instruction")
_TEXTS = (Wire.CHAT, Wire.COMPLETIONS, Wire.RESPONSES, Wire.MESSAGES, Wire.GEMINI)
_NUMBERS = (Wire.EMBEDDINGS, Wire.COUNT_TOKENS, Wire.MODERATIONS, Wire.RERANK)  # answers without a text of anybody's


class Judging:
    def __init__(self, boards: Boards, asker: Asker) -> None:
        self._boards, self._asker = boards, asker

    async def asked(self, visit: Visit, judges: Sequence[Judge]) -> None:
        """What the caller says, as the upstream would see it. Raises Blocked, Unavailable."""
        passage = visit.passage
        spoken = _spoken(passage.asked) if passage is not None else NOTHING
        for judge in self.due(visit, judges):
            if spoken == NOTHING:
                raise Blocked(f"{judge.name!r} cannot look into a form, so it does not pass", field="messages")
            await self._hear(visit, judge, spoken, None)

    async def answered(self, visit: Visit, judges: Sequence[Judge], told: Told) -> None:
        """The whole of an answer. Raises ModelFailed, Unavailable."""
        wire, passage = visit.dialect.wire, visit.passage
        if wire in _NUMBERS or passage is None:
            return
        for judge in self.due(visit, judges):
            if wire not in _TEXTS or told.kept >= KEPT or _several(passage.asked):
                raise ModelFailed(f"{judge.name!r} cannot see this answer whole, so it does not pass")
            try:
                await self._hear(visit, judge, _spoken(passage.asked), msgspec.Raw(written(told)))
            except Blocked as error:
                raise ModelFailed(f"the answer was stopped by a guard: {error.message}") from error

    def due(self, visit: Visit, judges: Sequence[Judge]) -> list[Judge]:
        return [judge for judge in judges if judge.due(visit.call.trace_id)]

    async def _hear(self, visit: Visit, judge: Judge, spoken: msgspec.Raw, answer: msgspec.Raw | None) -> None:
        """Raises Blocked when it says no, Unavailable when it says nothing."""
        try:
            passes = await self.verdict(judge, spoken, answer, of=visit.call.trace_id)
        except HeadraceError as error:
            visit.call.counted = False  # not the version's doing
            raise Unavailable(f"the judge {judge.name!r} gave no verdict: {error.message}", field="guards") from error
        if not passes:
            if visit.guards is not None:
                visit.guards.memory.count(judge.name)
            raise Blocked(f"the judge {judge.name!r} says that it must not pass", field="messages")

    async def verdict(self, judge: Judge, spoken: msgspec.Raw, answer: msgspec.Raw | None, *, of: str) -> bool:
        """Whether it passes. `of`: trace id of the call that it is about. Raises HeadraceError when nothing is said."""
        board = self._boards.now
        lane = board.lane(judge.model)
        version = lane.version(lane.policy.baseline)
        dialect = DIALECTS[Wire.CHAT]
        asked = dialect.ask(judge.question(spoken, answer))
        line = self._asker.line(lane, version, protocol=Wire.CHAT)
        if lane.captured:
            shown = said(asked)
            line.input = self._asker.recorder.kept(scrubbed(shown) if lane.masked else shown)
        question = Question(
            own=Own.JUDGE,
            lane=lane,
            version=version,
            dialect=dialect,
            asked=dialect.dressed(asked, version.chat),
            of=of,
        )
        told = await self._asker.put(question, line, seconds=judge.seconds)
        return verdict_of(told.text)[0]


def _spoken(asked: Asked) -> msgspec.Raw:
    """All that is said: some forms have the system prompt beside the messages."""
    heard = said(asked)
    beside = {name: asked.fields[name] for name in _BESIDE if name in asked.fields}
    return heard if not beside else msgspec.Raw(msgspec.json.encode({**beside, "messages": heard}))


def _several(asked: Asked) -> bool:
    """More than one answer was asked for: only the first one's text is gathered."""
    settings = value(asked.fields, "generationConfig")  # Gemini's
    more = count(read(asked.fields, _SEVERAL), "n") > 1
    return more or (isinstance(settings, dict) and settings.get("candidateCount") not in (None, 1))
