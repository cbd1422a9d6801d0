"""POST /feedback, /feedback/batch, /feedback/tokens: what people say of answers, on disk before it is acknowledged.

Called by edge.py. Decides who may speak: callers with a key of any trace, a person with a signed token of that one
answer. Decides that a batch keeps its good rows and names the others. said.py decides the form. Ignores what it is used
for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from headrace.api.http.edge import Parameters
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.api.http.predict import broken
from headrace.api.http.said import ANONYMOUS, FeedbackBody, Listener
from headrace.base.ticket import Ticket, Tickets
from headrace.store.journal.records import encode_feedback
from headrace.traffic.meter import Meter
from headrace.traffic.record import Recorder
from headrace.types.call import Feedback
from headrace.types.errors import BadInput, CallerError, Forbidden, Unauthenticated

BODY_LIMIT = 256 * 1024
BATCH_LIMIT = 8 << 20
MOST = 1_000  # rows of one batch, and traces of one request for tokens
DAY = 86_400.0
LONGEST = 366 * DAY  # that a token may be valid


class DurableJournal(Protocol):
    async def durable(self, line: bytes) -> None: ...


class BatchBody(msgspec.Struct, forbid_unknown_fields=True):
    """Each row is a FeedbackBody; it is read by itself, so that a wrong one does not spoil the others."""

    feedback: list[msgspec.Raw]


class TokensBody(msgspec.Struct, forbid_unknown_fields=True):
    trace_ids: list[str]
    expires_in: float = 7 * DAY
    rater: int | str | None = None


_one = msgspec.json.Decoder(FeedbackBody)
_many = msgspec.json.Decoder(BatchBody)
_tokens = msgspec.json.Decoder(TokensBody)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class FeedbackHandler:
    """`admit` checks the caller's key as /predict does."""

    def __init__(
        self,
        journal: DurableJournal,
        recorder: Recorder,
        meter: Meter,
        *,
        admit: Callable[[Exchange], None],
        user_header: str,
        retention_seconds: float,
        ticket_key: bytes,
    ) -> None:
        self._journal = journal
        self._recorder = recorder
        self._meter = meter
        self._admit = admit
        self._user_header = user_header.lower()
        self._listener = Listener(recorder, retention_seconds=retention_seconds)
        self._tickets = Tickets(ticket_key)

    async def __call__(self, exchange: Exchange, _: Parameters) -> Reply:
        data = await exchange.json_body(BODY_LIMIT)
        body = _read(_one, data)
        if body.token:
            rater = self._shown(body)
            heard = self._listener.hear(body, rater=rater, channel="token")
        else:
            self._admit(exchange)
            rater = self._listener.rater(body.rater, exchange.header(self._user_header))
            heard = self._listener.hear(body, rater=rater)
        await self._keep(heard)
        return _reply({"trace_id": heard[0].trace_id, "feedback": [feedback.id for feedback in heard]})

    async def batch(self, exchange: Exchange, _: Parameters) -> Reply:
        """All good rows are kept with one sync; the answer names each row that was not, by its place from 0."""
        self._admit(exchange)
        body = _read(_many, await exchange.json_body(BATCH_LIMIT))
        _bounded("feedback", len(body.feedback))
        person = exchange.header(self._user_header)
        heard: list[Feedback] = []
        errors: list[dict[str, Any]] = []
        rows = 0
        for place, raw in enumerate(body.feedback):
            try:
                heard += self._row(bytes(raw), person)
                rows += 1
            except CallerError as error:
                told = {"field": error.field or "body", "message": error.message, "hint": error.hint}
                errors.append({"row": place} | told)
        await self._keep(heard)
        return _reply({"accepted": rows, "errors": errors})

    async def tokens(self, exchange: Exchange, _: Parameters) -> Reply:
        """For an application that lets people without a key rate what it showed them."""
        self._admit(exchange)
        body = _read(_tokens, await exchange.json_body(BODY_LIMIT))
        _bounded("trace_ids", len(body.trace_ids))
        if not 1 <= body.expires_in <= LONGEST:
            raise BadInput(
                f"expires_in is {body.expires_in!r}; allowed: 1 to {LONGEST:.0f} seconds", field="expires_in"
            )
        expires = self._recorder.clock.now() + body.expires_in
        rater = self._recorder.hashed(str(body.rater)) if body.rater not in (None, "") else ""
        for trace_id in body.trace_ids:
            self._listener.known(trace_id)
        made = {
            trace_id: self._tickets.issue(Ticket(trace_id=trace_id, expires=expires, rater=rater))
            for trace_id in body.trace_ids
        }
        return _reply({"tokens": made, "expires": float(int(expires))})

    def _row(self, data: bytes, person: str | None) -> list[Feedback]:
        body = _read(_one, data)
        if body.token:
            raise BadInput("a batch is sent with a key, not with tokens", field="token")
        return self._listener.hear(body, rater=self._listener.rater(body.rater, person), channel="upload")

    def _shown(self, body: FeedbackBody) -> str:
        """Who speaks; no key is asked for. The body is about the token's trace from then on."""
        ticket = self._tickets.read(body.token)
        if ticket is None:
            raise Unauthenticated("this is no token of ours", field="token", hint="POST /feedback/tokens makes one")
        if ticket.expires < self._recorder.clock.now():
            raise Forbidden("the token has expired", field="token", hint="POST /feedback/tokens makes a new one")
        if body.trace_id not in (None, ticket.trace_id):
            raise Forbidden(f"the token is not for trace {body.trace_id[:64]!r}", field="trace_id")
        for field, usual in (("rater", None), ("source", "human"), ("time", None)):
            if getattr(body, field) != usual:
                raise Forbidden(f"who has only a token cannot say {field}", field=field)
        body.trace_id = ticket.trace_id
        return ticket.rater or ANONYMOUS

    async def _keep(self, heard: Iterable[Feedback]) -> None:
        lines = [(feedback.name, encode_feedback(feedback)) for feedback in heard]
        if lines:
            await self._journal.durable(b"".join(line for _, line in lines))
        for name, _ in lines:
            self._meter.count("headrace_feedback_total", name)


def _read(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except _UNREADABLE as error:
        raise broken(error, data) from None


def _bounded(field: str, count: int) -> None:
    if not 1 <= count <= MOST:
        raise BadInput(f"{field} has {count} entries; allowed: 1 to {MOST}", field=field)


def _reply(content: dict[str, Any]) -> Reply:
    return json_reply(msgspec.json.encode(content))
