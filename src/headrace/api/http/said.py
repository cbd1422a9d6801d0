"""What a person says of an answer, from the words of a request to records. Called by feedback.py, for one and for many.

Decides the form, the sizes, that a trace is ours and within retention, and which words replace which: a second word of
the same rater on the same trace and name has the same id. Ignores keys, bodies of requests and the journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from headrace.base.ids import feedback_id
from headrace.serving.codec import bad_json
from headrace.traffic.record import Recorder
from headrace.types.call import Feedback, FeedbackName
from headrace.types.errors import BadInput, NotFound, TooLarge

ANONYMOUS = "anonymous"
RATINGS: dict[object, bool] = {"up": True, "thumbs_up": True, "down": False, "thumbs_down": False}
SOURCES = ("human", "code", "llm_judge")  # MLflow's
COMMENT_LIMIT = 10_000  # characters
CORRECTION_LIMIT = 64 * 1024  # bytes of JSON
REASONS, REASON_LIMIT = 8, 64  # how many, and characters of each
SKEW = 60.0  # seconds that another plane's clock may be ahead


class FeedbackBody(msgspec.Struct, forbid_unknown_fields=True):
    """`withdraw`: true for all that this rater said of the trace, or names. `time`: when it was said, if not now."""

    trace_id: str | None = None
    user_rating: bool | str | None = None
    corrected_output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    comment: str | None = None
    reasons: list[str] | None = None
    rater: int | str | None = None
    source: str = "human"
    time: float | str | None = None
    withdraw: bool | list[str] = False
    token: str = ""


class Listener:
    """Turns words into records. `hear` raises BadInput, TooLarge or NotFound, naming the field."""

    def __init__(self, recorder: Recorder, *, retention_seconds: float) -> None:
        self._recorder = recorder
        self._retention = retention_seconds

    def hear(self, body: FeedbackBody, *, rater: str, channel: str = "") -> list[Feedback]:
        """`rater` is a hash already, or ANONYMOUS."""
        trace_id = _trace(body)
        issued = self.known(trace_id)
        names = _withdrawn(body)
        values = values_of(body, withdrawn=bool(names))
        if both := [name for name in names if name in values]:
            raise BadInput(f"{both[0]} is both said and withdrawn", field="withdraw")
        source = _source(body.source)
        said = self._said(body.time, issued)
        reasons = _reasons(body.reasons, rated=FeedbackName.RATING in values)

        def record(name: FeedbackName, value: Any, **more: Any) -> Feedback:
            return Feedback(
                id=feedback_id(trace_id, rater, name),
                trace_id=trace_id,
                name=name,
                value=value,
                rater=rater,
                time=said,
                source=source,
                channel=channel,
                **more,
            )

        heard = [record(name, None, withdrawn=True) for name in names]
        for name, value in values.items():
            heard.append(record(name, value, reasons=reasons if name is FeedbackName.RATING else ()))
        return heard

    def rater(self, given: int | str | None, header: str | None) -> str:
        person = header if given is None else str(given)
        return self._recorder.hashed(person) if person else ANONYMOUS

    def known(self, trace_id: str) -> float:
        """When we issued it."""
        issued = self._recorder.ids.issued(trace_id)
        if issued is None:
            raise NotFound(
                f"there is no trace {trace_id[:64]!r}",
                field="trace_id",
                hint="send the trace_id of an answer as it came",
            )
        age = self._recorder.clock.now() - issued
        if age > self._retention or age < -SKEW:
            days = self._retention / 86_400
            raise NotFound(f"trace {trace_id!r} is older than {days:g} days and no longer kept", field="trace_id")
        return issued

    def _said(self, given: float | str | None, issued: float) -> float:
        """A label may come long after the answer: then its time is when it was known, not when it was sent."""
        now = self._recorder.clock.now()
        if given is None:
            return now
        moment = _moment(given)
        if not issued - SKEW <= moment <= now + SKEW:
            raise BadInput(f"time is {given!r}; allowed: from the answer's own time until now", field="time")
        return moment


def _trace(body: FeedbackBody) -> str:
    if body.trace_id is None:
        hint = "send the trace_id of an answer, or a token for it"
        raise BadInput("trace_id is missing", field="trace_id", hint=hint)
    return body.trace_id


def values_of(body: FeedbackBody, *, withdrawn: bool = False) -> dict[FeedbackName, Any]:
    """What was given, one to three of them; none is enough when something is withdrawn."""
    values: dict[FeedbackName, Any] = {}
    if body.user_rating is not None:
        values[FeedbackName.RATING] = _rating(body.user_rating)
    if body.corrected_output is not msgspec.UNSET and (correction := _correction(body.corrected_output)) is not None:
        values[FeedbackName.CORRECTION] = correction
    if body.comment:
        if len(body.comment) > COMMENT_LIMIT:
            raise TooLarge(f"the comment has {len(body.comment)} characters; at most {COMMENT_LIMIT}", field="comment")
        values[FeedbackName.COMMENT] = body.comment
    if not values and not withdrawn:
        raise BadInput("nothing was given", field="body", hint=f"send one of: {', '.join(FeedbackName)}")
    return values


def _withdrawn(body: FeedbackBody) -> tuple[FeedbackName, ...]:
    if isinstance(body.withdraw, bool):
        return tuple(FeedbackName) if body.withdraw else ()
    for name in body.withdraw:
        if name not in tuple(FeedbackName):
            raise BadInput(
                f"withdraw has {name[:64]!r}; allowed: true, or some of {', '.join(FeedbackName)}", field="withdraw"
            )
    return tuple(FeedbackName(name) for name in dict.fromkeys(body.withdraw))


def _source(given: str) -> str:
    if given.lower() not in SOURCES:
        raise BadInput(f"source is {given[:64]!r}; allowed: {', '.join(SOURCES)}", field="source")
    return given.lower()


def _reasons(given: Sequence[str] | None, *, rated: bool) -> tuple[str, ...]:
    if not given:
        return ()
    if not rated:
        raise BadInput("reasons are those of a user_rating, and there is none", field="reasons")
    if len(given) > REASONS:
        raise BadInput(f"there are {len(given)} reasons; at most {REASONS}", field="reasons")
    for reason in given:
        if not 0 < len(reason.strip()) <= REASON_LIMIT:
            raise BadInput(
                f"a reason is {reason[:REASON_LIMIT]!r}; allowed: 1 to {REASON_LIMIT} characters", field="reasons"
            )
    return tuple(dict.fromkeys(reason.strip() for reason in given))


def _moment(given: float | str) -> float:
    if isinstance(given, int | float):
        return float(given)
    try:
        moment = datetime.fromisoformat(given.strip())
    except ValueError:
        raise BadInput(
            f"time is {given[:64]!r}; allowed: seconds since 1970, or ISO 8601 such as 2026-01-31T12:00:00Z",
            field="time",
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


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
