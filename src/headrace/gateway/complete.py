"""One call to a chat model: admit → route → reserve → dress → reach → relay → settle → record. Read this first.

Called by the edge (api/http/llm.py), which brings a request and the caller's side of the connection. Decides the order,
and what kind of ending each failure is. Ignores HTTP, and what a dialect means: an endpoint is an endpoint like any
other, so who answers is its traffic policy's business, and each call is one line of the journal.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from hashlib import blake2b

import msgspec

from headrace.base.log import trace
from headrace.compute.line import Headers
from headrace.gateway.board import Boards, Lane, Version
from headrace.gateway.choose import Ready
from headrace.gateway.cost import cost_of
from headrace.gateway.dialects.base import Address, Asked, Dialect, Told
from headrace.gateway.dialects.registry import DIALECTS
from headrace.gateway.ending import ENDINGS, error_of
from headrace.gateway.reach import Missed, Passage, Streamed, Whole, reach
from headrace.gateway.relay import Sink, relay
from headrace.gateway.station import passed_back
from headrace.gateway.tally import Tally
from headrace.traffic.keys import Caller
from headrace.traffic.limit import Grant, Limiter
from headrace.traffic.record import HUNG_UP, NOTHING, Open, Recorder, ending
from headrace.traffic.route import Header, decide
from headrace.types.call import CallStatus
from headrace.types.errors import HeadraceError
from headrace.types.gateway import Affinity, Scope, Spent, Usage, Wire

LETTERS = 4  # of a token, where nobody counted them: English has about as many
ANSWER_TOKENS = 512  # reserved where the caller named no bound
_SAID = ("messages", "input", "prompt", "contents")  # of a request: what was said to the model
_MEDIA = (Wire.IMAGES, Wire.AUDIO, Wire.MODERATIONS, Wire.RERANK)
_SCOPES = {Wire.EMBEDDINGS: Scope.EMBEDDINGS, **dict.fromkeys(_MEDIA, Scope.MEDIA)}
_encoder = msgspec.json.Encoder()
_messages = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(slots=True, kw_only=True)
class Request:
    """`tail`: the path below the base URL. `headers`: those that may go on to an upstream. `task`: what a chat
    application asks for itself, such as a title."""

    wire: Wire
    tail: str
    body: bytes
    at: Address
    header: Header
    headers: Headers
    user: str = ""
    parent: str = ""
    wanted: str | None = None
    conversation: str = ""
    message: str = ""
    task: str = ""
    timeout_ms: int = 0


@dataclass(slots=True, kw_only=True)
class Answered:
    """For the edge to write; of a stream there is none: it has been written."""

    status: int
    headers: Headers
    body: bytes


@dataclass(slots=True, kw_only=True)
class _Course:
    """A call as far as it has come, for the line in the journal."""

    request: Request
    caller: Caller
    dialect: Dialect
    asked: Asked
    lane: Lane
    call: Open
    began: float
    grant: Grant = field(default_factory=Grant)
    passage: Passage | None = None
    ready: Ready | None = None
    told: Told = field(default_factory=Told)
    first: float = 0.0  # when the caller got the first byte of a stream


class Completer:
    def __init__(self, boards: Boards, limiter: Limiter, recorder: Recorder) -> None:
        self.boards = boards
        self.limiter = limiter
        self.recorder = recorder
        self.tally = Tally(recorder.meter, lambda: boards.now)
        self._steady = recorder.clock.steady

    async def complete(self, request: Request, sink: Sink) -> Answered | None:
        began = self._steady()
        board = self.boards.now  # one plan for the whole call
        caller = board.callers.of(request.header)  # admit: who
        dialect = DIALECTS[request.wire]
        asked = dialect.ask(request.body, request.at)
        caller.permit(_SCOPES.get(request.wire, Scope.CHAT), asked.model)
        lane = board.lane(asked.model)
        call = self.recorder.open(
            lane.endpoint.name,
            protocol=request.wire.value,
            revision=board.revision,
            user=caller.user or request.user or asked.user,
            parent=request.parent,
        )
        trace.set(call.trace_id)
        course = _Course(
            request=request, caller=caller, dialect=dialect, asked=asked, lane=lane, call=call, began=began
        )
        try:
            lane.gate.enter()  # admit: how many
            try:
                return await self._answer(course, sink)
            finally:
                lane.gate.leave()
        except BaseException as error:  # re-raised: also a bug of ours, or a shutdown, leaves its line in the journal
            self._failed(course, error)
            raise

    async def _answer(self, course: _Course, sink: Sink) -> Answered | None:
        request, lane, call, asked = course.request, course.lane, course.call, course.asked
        decision = decide(
            lane.policy,
            unit=call.unit,
            sticky=call.sticky,
            header=request.header,
            selectors=lane.endpoint.selectors,
            wanted=request.wanted,
        )
        version = lane.version(decision.variant)
        call.routed(decision, version.number)
        if request.task:
            call.counted = False  # a title is no evidence of how well it answers
        if lane.captured:
            call.input = self.recorder.kept(_said(asked))
        tokens, cost = _expected(asked, version, len(request.body))
        course.grant = await self.limiter.reserve(course.caller, lane.endpoint.name, tokens=tokens, cost=cost)
        limit = lane.endpoint.limits.timeout_ms
        timeout_ms = min(limit, request.timeout_ms) if request.timeout_ms > 0 else limit
        passage = course.passage = Passage(
            dialect=course.dialect,
            asked=course.dialect.dressed(asked, version.chat),
            tail=request.tail,
            forwarded=request.headers,
            lane=lane,
            version=version,
            key=_affinity(version, course),
            began=course.began,
            ends=course.began + timeout_ms / 1000,
            steady=self._steady,
        )
        got = await reach(passage)
        course.ready = got.ready
        if isinstance(got, Missed):
            return self._missed(course, got)
        headers = self._headers(course, got.headers, got.lost)
        course.told = got.told if isinstance(got, Whole) else got.course.told
        if isinstance(got, Whole):
            self._settle(course, CallStatus.OK)
            return Answered(status=got.status, headers=headers, body=got.body)
        await self._stream(course, got, headers, sink)
        return None

    async def _stream(self, course: _Course, got: Streamed, headers: Headers, sink: Sink) -> None:
        course.first = self._steady()
        sink.begin(got.status, headers)
        failed = await relay(got, sink, course.dialect)
        if failed is None:
            self._settle(course, CallStatus.OK)
        else:
            self._settle(course, ending(failed), error=failed.sentence())

    def _missed(self, course: _Course, missed: Missed) -> Answered:
        """Nobody answered. An upstream's own refusal goes to the caller as it came, when it speaks the same."""
        error = error_of(missed, course.lane.endpoint.name)
        error.trace_id, error.variant = course.call.trace_id, course.call.variant
        if not missed.status:
            raise error
        body = missed.body
        if missed.crossed:
            body = course.dialect.refusal(missed.status, missed.failure, missed.message)
        self._settle(course, ENDINGS[missed.failure], error=error.sentence())
        headers = self._headers(course, missed.headers, ())
        return Answered(status=missed.status, headers=headers, body=body)

    def _failed(self, course: _Course, error: BaseException) -> None:
        """Record it as what it was, and tell the caller under which trace id."""
        call = course.call
        if isinstance(error, HeadraceError):
            error.trace_id, error.variant = call.trace_id, call.variant
            self._settle(course, ending(error), error=error.sentence())
        elif isinstance(error, asyncio.CancelledError) and error.args == (HUNG_UP,):
            course.told.finish = "aborted"
            # Who stops reading an answer that comes has seen enough of it; who waits in vain has not.
            self._settle(course, CallStatus.OK if course.first else CallStatus.TIMEOUT, error=HUNG_UP)
        else:
            call.counted = False  # not the model's doing
            self._settle(course, CallStatus.FAILED, error=f"interrupted: {type(error).__name__}")

    def _settle(self, course: _Course, status: CallStatus, *, error: str = "") -> None:
        """What it used and cost, and its line."""
        call, told, ready, request = course.call, course.told, course.ready, course.request
        usage, estimated = told.usage, False
        if usage is None:
            usage, estimated = _estimate(course), True
        passage = course.passage
        cost = cost_of(usage, ready.price if ready else None)
        if passage is None:
            self.limiter.release(course.grant)
        else:
            self.limiter.settle(course.grant, tokens=usage.total, cost=cost)
        spent = Spent(
            usage=usage,
            cost=cost,
            provider=ready.way.provider if ready else "",
            model=(told.model or ready.way.model) if ready else "",
            key=course.caller.key,
            team=course.caller.team,
            workspace=course.caller.workspace,
            user=call.unit if call.sticky else "",
            first_ms=round((course.first - course.began) * 1000, 3) if course.first else 0.0,
            wait_ms=round(passage.waited * 1000, 3) if passage else 0.0,
            attempts=passage.attempts if passage else 0,
            finish=told.finish,
            estimated=estimated,
            conversation=request.conversation,
            message=request.message,
            task=request.task,
        )
        call.spent = msgspec.Raw(_encoder.encode(spent))
        call.rows = 1
        if course.lane.captured:
            call.output = self.recorder.kept(_written(told))
        waited = passage.waited if passage else 0.0
        seconds = self.recorder.close(call, status, began=course.began, run_seconds=waited, error=error)
        self.tally.spent(call.endpoint, call.variant, spent, seconds)

    def _headers(self, course: _Course, theirs: Headers, lost: tuple[str, ...]) -> Headers:
        """The upstream's, and ours: how an answer is found again, who gave it, what could not be said to them, and what
        is left of our own limits, which hold before theirs."""
        call, ready, passage = course.call, course.ready, course.passage
        left = course.grant.headers
        named = {name for name, _ in left}
        headers = [header for header in passed_back(theirs) if header[0] not in named]
        headers += [*left, (b"x-headrace-trace", call.trace_id.encode())]
        headers.append((b"x-headrace-variant", call.variant.encode()))
        if ready is not None:
            way = f"{ready.way.provider}/{ready.way.model}"
            headers.append((b"x-headrace-upstream", way.encode("latin-1", "replace")))
        if passage is not None and passage.attempts > 1:
            headers.append((b"x-headrace-attempts", b"%d" % passage.attempts))
        if lost:
            headers.append((b"x-headrace-lost", ", ".join(lost).encode("latin-1", "replace")))
        return headers


def _said(asked: Asked) -> msgspec.Raw | None:
    return next((asked.fields[name] for name in _SAID if name in asked.fields), NOTHING)


def _written(told: Told) -> bytes | msgspec.Raw:
    if told.tools:
        return _encoder.encode({"text": told.text, "tools": told.tools})
    return _encoder.encode(told.text) if told.text else NOTHING


def _expected(asked: Asked, version: Version, size: int) -> tuple[int, float]:
    """Tokens and cost to be reserved: all that was sent, and the longest answer that may come."""
    output = asked.max_tokens or ANSWER_TOKENS
    price = version.ways[0].price if version.ways else None
    return size // LETTERS + output, cost_of(Usage(input=size // LETTERS, output=output), price)


def _estimate(course: _Course) -> Usage:
    """Nobody told: what was sent, and what had been heard when it ended."""
    if course.ready is None or (not course.first and not course.told.text):
        return Usage()
    said = _said(course.asked)
    output = max(course.told.tokens_seen, len(course.told.text) // LETTERS)
    return Usage(input=len(said or b"") // LETTERS, output=output)


def _affinity(version: Version, course: _Course) -> str:
    """What keeps going the same way, of this call."""
    kind, call = version.chat.affinity, course.call
    if kind is Affinity.USER:
        return call.unit if call.sticky else ""
    if kind is Affinity.CONVERSATION:
        return course.request.conversation
    if kind is Affinity.PREFIX:
        return _prefix(course.asked)
    return ""


def _prefix(asked: Asked) -> str:
    """What a prompt begins with, as far as providers keep it ready: the system prompt and the first message."""
    said = _said(asked)
    try:
        messages = _messages.decode(said) if said is not None else []
    except msgspec.DecodeError:  # a prompt that is one text
        messages = [said or NOTHING]
    digest = blake2b(bytes(asked.fields.get("system", b"")), digest_size=16)
    for message in messages[:2]:
        digest.update(bytes(message))
    return digest.hexdigest()
