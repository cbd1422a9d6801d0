"""Records as lines: `{"call": {…}}`, `{"feedback": {…}}`, `{"metric": {…}}` or `{"event": {…}}`, and back.

Called by the data plane (encode) and by everything that reads the journal (decode). `Call.input` and `Call.output` may
be `msgspec.Raw`, so that the bytes of a request go in as they came; newlines between their tokens become spaces.
`CallRow` is a call whose input and output stay JSON text: the archive and the query never parse them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.types.call import Call, Feedback, MetricEvent, PlaneEvent, from_user
from headrace.types.gateway import Attempt, Usage
from headrace.types.step import Step

Record = Call | Feedback | MetricEvent | PlaneEvent

JSON_FIELDS = ("input", "output", "beside", "spent")  # of a call: kept as text

CALLS, FEEDBACK, EVENTS = b'{"call":', b'{"feedback":', b'{"event":'  # how lines of these kinds begin
SPENT = b'"spent":{'  # what lines of calls to an LLM hold
_NULL = msgspec.Raw(b"null")


class CallRow(msgspec.Struct, kw_only=True):
    """The fields of Call, by name and in order, as they are stored. A data plane fills one in as it learns more."""

    trace_id: str
    time: float
    endpoint: str
    variant: str
    version: int
    unit: str
    sticky: bool
    counted: bool
    reason: str
    status: str
    latency_ms: float
    run_ms: float = 0.0
    rows: int = 1
    revision: int = 0
    protocol: str = "predict"
    error: str = ""
    input: msgspec.Raw = _NULL
    output: msgspec.Raw = _NULL
    parent: str = ""
    colour: str = ""
    shadow_of: str = ""
    beside: msgspec.Raw = _NULL
    spent: msgspec.Raw = _NULL

    @property
    def from_user(self) -> bool:
        return from_user(self.shadow_of, self.reason)


class SpentRow(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The fields of Spent, as they are written."""

    usage: Usage
    cost: float
    provider: str = ""
    model: str = ""
    key: str = ""
    team: str = ""
    user: str = ""
    workspace: str = ""
    first_ms: float = 0.0
    wait_ms: float = 0.0
    attempts: int = 1
    finish: str = ""
    estimated: bool = False
    cached: str = ""
    similarity: float = 0.0
    conversation: str = ""
    message: str = ""
    task: str = ""
    guards: dict[str, int] = {}
    alone: bool = False
    of: str = ""
    steps: tuple[Step, ...] = ()
    tried: tuple[Attempt, ...] = ()


class FeedbackRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    trace_id: str
    name: str
    value: msgspec.Raw
    rater: str
    time: float
    source: str = "human"
    comment: str = ""
    reasons: msgspec.Raw = _NULL
    withdrawn: bool = False
    channel: str = ""


class _Line(msgspec.Struct):
    call: Call | None = None
    feedback: Feedback | None = None
    metric: MetricEvent | None = None
    event: PlaneEvent | None = None


class RowLine(msgspec.Struct):
    """One of them is set; none for a kind that only a newer version knows."""

    call: CallRow | None = None
    feedback: FeedbackRow | None = None
    metric: MetricEvent | None = None
    event: PlaneEvent | None = None


class BadLine(ValueError):
    """A line that is no record: torn by a crash, damaged on the disk, or of a kind not known here."""


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # the last: JSON nested too deep
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Line)
_row_decoder = msgspec.json.Decoder(RowLine)


def encode_call(call: Call | CallRow) -> bytes:
    body = _encoder.encode(call)
    return _line(CALLS, body) if b"\n" in body or b"\0" in body else b'{"call":%b}\n' % body


def encode_feedback(feedback: Feedback) -> bytes:
    return _line(FEEDBACK, _encoder.encode(feedback))


def encode_metric(event: MetricEvent) -> bytes:
    return _line(b'{"metric":', _encoder.encode(event))


def encode_event(event: PlaneEvent) -> bytes:
    return _line(EVENTS, _encoder.encode(event))


def _line(start: bytes, body: bytes) -> bytes:
    # Only a Raw value can bring either: inside JSON strings both are escaped, so a newline is white space between
    # tokens, and a NUL is not JSON at all. It would end the segment for readers, so it becomes something they count.
    if b"\n" in body or b"\0" in body:
        body = body.replace(b"\n", b" ").replace(b"\0", b"?")
    return start + body + b"}\n"


def decode(line: bytes) -> Record:
    try:
        found = _decoder.decode(line)
    except _UNREADABLE:
        if (row := decode_row(line).call) is None:
            raise BadLine(f"not a record: {line[:80]!r}") from None
        return call_of(row)  # input or output are JSON that we cannot hold: the call happened all the same
    record = found.call or found.feedback or found.metric or found.event
    if record is None:
        raise BadLine(f"of no known kind: {line[:80]!r}")
    return record


def decode_row(line: bytes) -> RowLine:
    """As `decode`, without parsing input, output and value."""
    try:
        return _row_decoder.decode(line)
    except _UNREADABLE as error:
        raise BadLine(f"not a record: {error}: {line[:80]!r}") from error


def call_of(row: CallRow) -> Call:
    """The noun of a stored row."""
    return msgspec.convert(
        {name: getattr(row, name) for name in _SCALARS}
        | {name: parse(text_of(getattr(row, name))) for name in JSON_FIELDS},
        Call,
    )


def text_of(raw: msgspec.Raw) -> str | None:
    """The JSON text; None for null. Bytes that are not UTF-8 are marked: they must not stop the archive for ever."""
    text = bytes(raw)
    return None if text == b"null" else text.decode(errors="replace")


def parse(text: str | None) -> Any:
    """The value; the text itself where the caller's JSON is none that we can hold (1e999)."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except _UNREADABLE:
        return text


_SCALARS = tuple(name for name in CallRow.__struct_fields__ if name not in JSON_FIELDS)
