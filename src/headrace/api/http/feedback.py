"""POST /feedback: what a person says about an answer, on the disk before it is acknowledged.

Called by edge.py. Decides the form, the sizes, and that a trace id must be one of ours and within retention. A second
feedback of the same rater on the same trace replaces the first: its id is the same. Ignores what it is used for.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from headrace.api.http.edge import Parameters
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.api.http.predict import broken
from headrace.serving.codec import bad_json
from headrace.store.journal.records import encode_feedback
from headrace.traffic.meter import Meter
from headrace.traffic.record import Recorder
from headrace.types.call import Feedback, FeedbackName
from headrace.types.errors import BadInput, NotFound, TooLarge

ANONYMOUS = "anonymous"
RATINGS: dict[object, bool] = {"up": True, "thumbs_up": True, "down": False, "thumbs_down": False}
COMMENT_LIMIT = 10_000  # characters
CORRECTION_LIMIT = 64 * 1024  # bytes of JSON
BODY_LIMIT = 256 * 1024
_SKEW = 60.0  # seconds that another plane's clock may be ahead


class DurableJournal(Protocol):
    async def durable(self, line: bytes) -> None: ...


class FeedbackBody(msgspec.Struct, forbid_unknown_fields=True):
    trace_id: str
    user_rating: bool | str | None = None
    corrected_output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    comment: str | None = None
    rater: int | str | None = None


_decoder = msgspec.json.Decoder(FeedbackBody)


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
    ) -> None:
        self._journal = journal
        self._recorder = recorder
        self._meter = meter
        self._admit = admit
        self._user_header = user_header.lower()
        self._retention_seconds = retention_seconds

    async def __call__(self, exchange: Exchange, _: Parameters) -> Reply:
        self._admit(exchange)
        body = read_body(await exchange.json_body(BODY_LIMIT))
        self._check_trace(body.trace_id)
        values = values_of(body)
        person = exchange.header(self._user_header) if body.rater is None else str(body.rater)
        rater = self._recorder.hashed(person) if person else ANONYMOUS
        now = self._recorder.clock.now()
        feedbacks = [
            Feedback(
                id=feedback_id(body.trace_id, rater, name),
                trace_id=body.trace_id,
                name=name,
                value=value,
                rater=rater,
                time=now,
            )
            for name, value in values.items()
        ]
        await self._journal.durable(b"".join(encode_feedback(feedback) for feedback in feedbacks))
        for feedback in feedbacks:
            self._meter.count("headrace_feedback_total", feedback.name)
        return json_reply(
            msgspec.json.encode({"trace_id": body.trace_id, "feedback": [feedback.id for feedback in feedbacks]})
        )

    def _check_trace(self, trace_id: str) -> None:
        issued = self._recorder.ids.issued(trace_id)
        if issued is None:
            raise NotFound(
                f"there is no trace {trace_id[:64]!r}",
                field="trace_id",
                hint="send the trace_id of an answer as it came",
            )
        age = self._recorder.clock.now() - issued
        if age > self._retention_seconds or age < -_SKEW:
            days = self._retention_seconds / 86_400
            raise NotFound(f"trace {trace_id!r} is older than {days:g} days and no longer kept", field="trace_id")


def values_of(body: FeedbackBody) -> dict[FeedbackName, Any]:
    """What was given, one to three of them."""
    values: dict[FeedbackName, Any] = {}
    if body.user_rating is not None:
        values[FeedbackName.RATING] = _rating(body.user_rating)
    if body.corrected_output is not msgspec.UNSET and (correction := _correction(body.corrected_output)) is not None:
        values[FeedbackName.CORRECTION] = correction
    if body.comment:
        if len(body.comment) > COMMENT_LIMIT:
            raise TooLarge(f"the comment has {len(body.comment)} characters; at most {COMMENT_LIMIT}", field="comment")
        values[FeedbackName.COMMENT] = body.comment
    if not values:
        raise BadInput("nothing was given", field="body", hint=f"send one of: {', '.join(FeedbackName)}")
    return values


def feedback_id(trace_id: str, rater: str, name: str) -> str:
    return "fb_" + blake2b(f"{trace_id}\0{rater}\0{name}".encode(), digest_size=12).hexdigest()


def read_body(data: bytes) -> FeedbackBody:
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise broken(error, data) from None


def _rating(given: bool | str) -> bool:
    if isinstance(given, bool):
        return given
    if given not in RATINGS:
        allowed = ", ".join(("true", "false", *(str(name) for name in RATINGS)))
        raise BadInput(f"user_rating is {given[:64]!r}; allowed: {allowed}", field="user_rating")
    return RATINGS[given]


def _correction(raw: msgspec.Raw) -> Any:
    if len(raw) > CORRECTION_LIMIT:
        raise TooLarge(
            f"corrected_output has {len(raw)} bytes of JSON; at most {CORRECTION_LIMIT}", field="corrected_output"
        )
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_json(error, "corrected_output") from None
