"""One call to a chat model: admit → route → look → reserve → guard → reach → relay → settle. Read me.

Called by the edge (api/http/llm.py), which brings a request and the caller's side of the connection. Decides the order,
and what kind of ending each failure is. Ignores HTTP, and what a dialect means: an endpoint is an endpoint like any
other, so who answers is its traffic policy's business, and each call is one line of the journal.
"""

from __future__ import annotations

import asyncio
from functools import partial
from hashlib import blake2b

import msgspec

from headrace.base.log import trace
from headrace.compute.line import Headers
from headrace.gateway import meaning
from headrace.gateway.board import Board, Boards, Lane, Version
from headrace.gateway.cache import USUAL, Kept, Wish, key_of, wish_of
from headrace.gateway.checking import Checks
from headrace.gateway.dialects.base import Asked
from headrace.gateway.dialects.registry import DIALECTS
from headrace.gateway.ending import ENDINGS, error_of
from headrace.gateway.guard import Guards
from headrace.gateway.heard import scrubbed
from headrace.gateway.judging import Judging
from headrace.gateway.own import Asker
from headrace.gateway.reach import Missed, Passage, Streamed, Whole, reach
from headrace.gateway.relay import Ears, Sink, relay
from headrace.gateway.settle import Settlement, expected
from headrace.gateway.shadow import Idle, Shadows
from headrace.gateway.station import line_of, passed_back
from headrace.gateway.tally import Tally
from headrace.gateway.visit import Request, Visit, said
from headrace.traffic.limit import Limiter
from headrace.traffic.record import HUNG_UP, Recorder, ending
from headrace.traffic.route import decide
from headrace.traffic.shadow import Outcomes
from headrace.types.call import CallStatus
from headrace.types.errors import Blocked, HeadraceError, ModelFailed
from headrace.types.gateway import Affinity, Scope, Wire

_MEDIA = (Wire.IMAGES, Wire.AUDIO, Wire.MODERATIONS, Wire.RERANK)
_SCOPES = {Wire.EMBEDDINGS: Scope.EMBEDDINGS, **dict.fromkeys(_MEDIA, Scope.MEDIA)}
_PROTOCOLS = {wire: wire.value for wire in Wire}
_messages = msgspec.json.Decoder(list[msgspec.Raw])


class Answered(msgspec.Struct, kw_only=True, eq=False):
    """For the edge to write; of a stream there is none: it has been written. `lines`: headers as they are written."""

    status: int
    headers: Headers
    lines: bytes
    body: bytes


class Completer:
    def __init__(self, boards: Boards, limiter: Limiter, recorder: Recorder, *, idle: Idle, outcomes: Outcomes) -> None:
        self.boards = boards
        self.limiter = limiter
        self.recorder = recorder
        self.tally = Tally(recorder.meter, lambda: boards.now)
        asker = Asker(recorder, self.tally)
        self.shadows = Shadows(boards, asker, idle=idle, outcomes=outcomes)
        self._judging = Judging(boards, asker)
        self.checks = Checks(asker, self._judging)
        self._ends = Settlement(limiter, recorder, self.tally, self.shadows)
        self._steady = recorder.clock.steady

    async def close(self) -> None:
        """What nobody waits for ends."""
        await self.shadows.close()
        await self.checks.close()

    async def complete(self, request: Request, sink: Sink) -> Answered | None:
        began = self._steady()
        board = self.boards.now  # one plan for the whole call
        caller = board.callers.of(request.header)  # admit: who
        dialect = DIALECTS[request.wire]
        asked = dialect.ask(request.body, request.at)
        caller.permit(_SCOPES.get(request.wire, Scope.CHAT), asked.model)
        lane = board.lanes.get(asked.model) or board.lane(asked.model)
        if request.task:
            lane = _for_task(board, lane)
        call = self.recorder.open(
            lane.endpoint.name,
            protocol=_PROTOCOLS[request.wire],
            revision=board.revision,
            user=caller.user or request.user or asked.user,
            parent=request.parent,
        )
        trace.set(call.trace_id)
        visit = Visit(request=request, caller=caller, dialect=dialect, asked=asked, lane=lane, call=call, began=began)
        try:
            lane.gate.enter()  # admit: how many
            try:
                return await self._answer(visit, sink)
            finally:
                lane.gate.leave()
        except BaseException as error:  # re-raised: also a bug of ours, or a shutdown, leaves its line in the journal
            self._failed(visit, error)
            raise

    async def _answer(self, visit: Visit, sink: Sink) -> Answered | None:
        version = self._route(visit)
        key, wish = b"", USUAL
        if version.chat.cache.ttl_seconds > 0:
            kept, key, wish = await self._look(visit, version)
            if kept is not None:
                return await self._again(visit, version, kept, sink)
        if version.guarded:
            visit.guards = Guards(version.before, version.after)
        tokens, cost = expected(visit.asked, version, len(visit.request.body), now=visit.call.time)
        visit.grant = await self.limiter.reserve(visit.caller, visit.call.endpoint, tokens=tokens, cost=cost)
        passage = self._passage(visit, version)
        if version.judges_before:
            await self._judging.asked(visit, version.judges_before)
        got = await reach(passage)
        visit.ready = got.ready
        if isinstance(got, Missed):
            return self._missed(visit, got)
        if isinstance(got, Whole):
            visit.told = got.told
            body = got.body if visit.guards is None else await self._heard(visit, version, visit.guards, got.body)
            self._ends.end(visit, CallStatus.OK)
            if wish.keep and key:
                self._keep(visit, version, key, got.status, got.headers, body)
            headers, lines = self._headers(visit, got.headers, got.lost)
            return Answered(status=got.status, headers=headers, lines=lines, body=body)
        visit.told = got.course.told
        heard = bytearray() if wish.keep and key else None
        failed = await self._stream(visit, got, sink, self._ears(visit, version, heard))
        if heard is not None and failed is None:
            self._keep(visit, version, key, got.status, got.headers, bytes(heard))
        return None

    def _route(self, visit: Visit) -> Version:
        """Who answers, and what the line says from then on."""
        request, lane, call = visit.request, visit.lane, visit.call
        decision = decide(
            lane.policy if lane.native is None else lane.applied,
            unit=call.unit,
            sticky=call.sticky,
            header=request.header,
            selectors=lane.endpoint.selectors,
            wanted=request.wanted,
        )
        version = lane.versions.get(decision.variant) or lane.version(decision.variant)
        call.routed(decision, version.number)
        if request.task:
            call.counted = False  # a title is no evidence of how well it answers
        if lane.captured and lane.native is None:  # a model of ours tells what it was given
            spoken = visit.asked.fields.get("messages") or said(visit.asked)
            call.input = self.recorder.kept(scrubbed(spoken) if lane.masked else spoken)
        return version

    def _passage(self, visit: Visit, version: Version) -> Passage:
        """What may be asked. Raises Blocked."""
        limit = visit.lane.endpoint.limits.timeout_ms
        timeout_ms = min(limit, visit.request.timeout_ms) if visit.request.timeout_ms > 0 else limit
        asked = visit.asked if version.plain else visit.dialect.dressed(visit.asked, version.chat)
        visit.passage = Passage(
            dialect=visit.dialect,
            asked=asked if visit.guards is None else visit.guards.asked(asked),
            tail=visit.request.tail,
            forwarded=visit.request.headers,
            lane=visit.lane,
            version=version,
            key="" if version.chat.affinity is Affinity.NONE else _affinity(version, visit),
            began=visit.began,
            ends=visit.began + timeout_ms / 1000,
            steady=self._steady,
        )
        return visit.passage

    async def _heard(self, visit: Visit, version: Version, guards: Guards, body: bytes) -> bytes:
        """What a guard stops in an answer is the model's failure, not the caller's."""
        try:
            body = guards.answered(body)
        except Blocked as error:
            raise ModelFailed(f"the answer was stopped by a guard: {error.message}") from error
        await self._judging.answered(visit, version.judges_after, visit.told)
        return body

    def _ears(self, visit: Visit, version: Version, heard: bytearray | None) -> Ears:
        guarded = None if visit.guards is None else visit.guards.stream(visit.dialect.wire)
        judges = self._judging.due(visit, version.judges_after)
        release = partial(self._judging.answered, visit, judges, visit.told) if judges else None
        return Ears(guarded, heard, release)

    async def _stream(self, visit: Visit, got: Streamed, sink: Sink, ears: Ears) -> HeadraceError | None:
        visit.first = self._steady()
        sink.begin(got.status, *self._headers(visit, got.headers, got.lost))
        failed = await relay(got, sink, visit.dialect, ears)
        if failed is None:
            self._ends.end(visit, CallStatus.OK)
        else:
            self._ends.end(visit, ending(failed), error=failed.sentence())
        return failed

    # the cache

    async def _look(self, visit: Visit, version: Version) -> tuple[Kept | None, bytes, Wish]:
        """What is kept for this request, under which key, and what the caller wishes."""
        settings = version.chat.cache
        wish = wish_of(visit.request.header("cache-control"))
        key = key_of(version.package, visit.request.wire, visit.asked, visit.caller, shared=settings.shared)
        kept = visit.lane.cache.get(key, settings, wish)
        if kept is None and settings.semantic and self.boards.embeds is not None:
            kept = await meaning.look(visit, version, wish, self.boards.embeds)
        return kept, key, wish

    async def _again(self, visit: Visit, version: Version, kept: Kept, sink: Sink) -> Answered | None:
        """The same answer once more. It counts as a request, and costs nothing."""
        visit.grant = await self.limiter.reserve(visit.caller, visit.lane.endpoint.name)
        near = visit.similarity
        visit.told, visit.cached = kept.told, "semantic" if near else "exact"
        self.tally.hit(visit.call.endpoint, visit.cached)
        headers, lines = self._headers(visit, kept.headers, ())
        how = b"semantic\r\nx-headrace-similarity: %.4f" % near if near else b"hit"
        lines += b"x-headrace-cache: %b\r\nage: %d\r\n" % (how, self._steady() - kept.at)
        if visit.asked.stream:
            visit.first = self._steady()
            sink.begin(kept.status, headers, lines)
            await sink.write(kept.body)
            sink.end()
        self._ends.end(visit, CallStatus.OK)
        if near:
            self.checks.offer(visit, version, kept)
        if visit.asked.stream:
            return None
        return Answered(status=kept.status, headers=headers, lines=lines, body=kept.body)

    def _keep(self, visit: Visit, version: Version, key: bytes, status: int, headers: Headers, body: bytes) -> None:
        media = [header for header in headers if header[0] == b"content-type"]
        kept = Kept(status=status, headers=media, body=body, told=visit.told, at=self._steady())
        visit.lane.cache.put(key, kept, version.chat.cache)
        if visit.near is not None:
            visit.lane.shelves.add(visit.near, key)

    def _missed(self, visit: Visit, missed: Missed) -> Answered:
        """Nobody answered. An upstream's own refusal goes to the caller as it came, when it speaks the same; that of
        our key does not."""
        error = error_of(missed, visit.lane.endpoint.name)
        error.trace_id, error.variant = visit.call.trace_id, visit.call.variant
        if not missed.status or missed.locked_out:
            raise error
        body = missed.body
        if missed.crossed:
            body = visit.dialect.refusal(missed.status, missed.failure, missed.message)
        self._ends.end(visit, ENDINGS[missed.failure], error=error.sentence())
        headers, lines = self._headers(visit, missed.headers, ())
        return Answered(status=missed.status, headers=headers, lines=lines, body=body)

    def _failed(self, visit: Visit, error: BaseException) -> None:
        """Record it as what it was, and tell the caller under which trace id."""
        call = visit.call
        if isinstance(error, HeadraceError):
            error.trace_id, error.variant = call.trace_id, call.variant
            self._ends.end(visit, ending(error), error=error.sentence())
        elif isinstance(error, asyncio.CancelledError) and error.args == (HUNG_UP,):
            visit.told.finish = "aborted"
            # Who stops reading an answer that comes has seen enough of it; who waits in vain has not.
            self._ends.end(visit, CallStatus.OK if visit.first else CallStatus.TIMEOUT, error=HUNG_UP)
        else:
            call.counted = False  # not the model's doing
            self._ends.end(visit, CallStatus.FAILED, error=f"interrupted: {type(error).__name__}")

    def _headers(self, visit: Visit, theirs: Headers, lost: tuple[str, ...]) -> tuple[Headers, bytes]:
        """The upstream's, and ours as lines: how an answer is found again, who gave it, what could not be said to them,
        and what is left of our own limits, which hold before theirs."""
        call, passage, grant = visit.call, visit.passage, visit.grant
        told, named = grant.told()
        way = b"" if visit.ready is None else visit.ready.line
        lines = b"%bx-headrace-trace: %b\r\nx-headrace-variant: %b\r\n%b" % (
            *(told, call.trace_id.encode(), call.variant.encode(), way),
        )
        if passage is not None and passage.attempts > 1:
            lines += b"x-headrace-attempts: %d\r\n" % passage.attempts
        if lost:
            lines += line_of(b"x-headrace-lost", ", ".join(lost))
        return passed_back(theirs, but=named), lines


def _for_task(board: Board, lane: Lane) -> Lane:
    """Who makes titles and tags for a chat application: the endpoint that the live version names, else itself."""
    live = lane.versions.get(lane.policy.baseline)
    return board.lanes.get(live.chat.background, lane) if live is not None else lane


def _affinity(version: Version, visit: Visit) -> str:
    """What keeps going the same way, of this call."""
    kind, call = version.chat.affinity, visit.call
    if kind is Affinity.USER:
        return call.unit if call.sticky else ""
    if kind is Affinity.CONVERSATION:
        return visit.request.conversation
    if kind is Affinity.PREFIX:
        return _prefix(visit.asked)
    return ""


def _prefix(asked: Asked) -> str:
    """What a prompt begins with, as far as providers keep it ready: the system prompt and the first message."""
    spoken = said(asked)
    try:
        messages = _messages.decode(spoken)
    except msgspec.DecodeError:  # a prompt that is one text
        messages = [spoken]
    digest = blake2b(bytes(asked.fields.get("system", b"")), digest_size=16)
    for message in messages[:2]:
        digest.update(bytes(message))
    return digest.hexdigest()
