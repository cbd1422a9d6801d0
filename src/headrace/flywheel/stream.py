"""A large export, row by row: begins at once, is never whole anywhere, and can be taken up where it broke off.

Called by GET /export for more calls than are worth a file first, and for pages. The rows are those of export.py
(examples.py decides), in the order of (time, trace id): `after` is these two of the last row that arrived. What a call
holds is passed on as the JSON it is in the journal; in Parquet, whose columns have their types from the first byte on,
as its text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from headrace.flywheel.examples import COLUMNS, Said, rows_of, split_inputs, sum_up
from headrace.flywheel.selection import Format, Selection
from headrace.flywheel.wanted import endpoints_of
from headrace.store import endpoints, feedbacks
from headrace.store.db import Database
from headrace.store.journal.flow import Passed
from headrace.store.journal.query import JournalQuery
from headrace.store.rows import GROUP_ROWS, ParquetFlow
from headrace.types.call import CallStatus
from headrace.types.traffic import Reason

NULL: Final = msgspec.Raw(b"null")
_ANSWERED: Final = {CallStatus.OK.value}
_MENDED: Final = {CallStatus.FAILED.value, CallStatus.TIMEOUT.value}  # worth a row when a person said what is right
_raws: Final = msgspec.json.Decoder(list[msgspec.Raw])
_encoder: Final = msgspec.json.Encoder()
Raws = list[msgspec.Raw]
Block = TypeVar("Block")
_KINDS: Final = {
    **dict.fromkeys(COLUMNS, "str"),
    "time": "float",
    "version": "int",
    **dict.fromkeys(("rating", "corrected"), "bool"),
}


class Line(msgspec.Struct):
    """The columns of examples.py, in their order."""

    trace_id: str
    time: float
    endpoint: str
    model: str
    version: int
    inputs: msgspec.Raw
    output: msgspec.Raw
    label: msgspec.Raw
    rating: bool | None
    corrected: bool
    comment: str | None
    unit: str


class Streamer:
    def __init__(self, *, database: Database, query: JournalQuery) -> None:
        self._database, self._query = database, query

    def stream(self, selection: Selection) -> Iterator[bytes]:
        """Blocks of the file. Raises NotFound for an unknown model or endpoint, before the first."""
        with self._database.read() as conn:
            models = endpoints_of(conn, model=selection.model, endpoint=selection.endpoint)
            named = _named(conn, models)
            rated = feedbacks.rated(conn, selection.since, selection.until) if selection.rating else None
        if selection.format is Format.PARQUET:
            return _grouped(self._blocks(selection, models, rated, list))
        if selection.format is Format.CSV:
            return self._blocks(selection, models, rated, _csv(named), (_cells([_heads(named)]),))
        return self._blocks(selection, models, rated, _jsonl)

    def _blocks(
        self,
        selection: Selection,
        models: Mapping[str, str],
        rated: Sequence[str] | None,
        write: Callable[[Sequence[Line]], Block],
        heads: Sequence[Block] = (),
    ) -> Iterator[Block]:
        if selection.after is None:
            yield from heads
        left = selection.limit
        flow = self._query.flow(since=selection.since, until=selection.until, after=selection.after, among=rated)
        for batch in flow if models else ():
            wanted = [call for row in batch if (call := Passed(*row)).endpoint in models and _counts(call)]
            if not wanted:
                continue
            lines, calls = self._lines(wanted, models, selection, left)
            if lines:
                yield write(lines)
            if left is not None and (left := left - calls) <= 0:
                return

    def _lines(
        self, calls: Sequence[Passed], models: Mapping[str, str], selection: Selection, left: int | None
    ) -> tuple[list[Line], int]:
        """Rows, and of how many calls."""
        ids = [call.trace_id for call in calls]
        with self._database.read() as conn:
            given = feedbacks.within(conn, min(ids), max(ids))
        lines: list[Line] = []
        taken = 0
        for call in calls:
            words = given.get(call.trace_id)
            said = sum_up(words) if words else _NOTHING
            if not (call.status in _ANSWERED or (said.corrected and call.status in _MENDED)):
                continue
            if selection.rating is not None and not said.matches(selection.rating):
                continue
            found = lines_of(call, said, models[call.endpoint])
            if found:
                lines += found
                taken += 1
                if taken == left:
                    break
        return lines, taken


_NOTHING: Final = Said()


def _counts(call: Passed) -> bool:
    """As Call.from_user."""
    return not call.shadow_of and call.reason != Reason.GATE.value


def lines_of(call: Passed, said: Said, model: str) -> list[Line]:
    """One for each row of the call; none when its input was not kept."""
    inputs = inputs_of(call.input, call.rows)
    if inputs is None:
        return []
    outputs = _outputs(call.output, call.rows)
    corrections = rows_of(said.correction, call.rows) if said.corrected else None
    lines = []
    for index, values in enumerate(inputs):
        output = outputs[index] if outputs is not None else NULL
        label = output if said.rating else NULL
        if corrections is not None:
            label = msgspec.Raw(_encoder.encode(corrections[index]))
        lines.append(
            Line(
                call.trace_id,
                call.time,
                call.endpoint,
                model,
                call.version,
                values,
                output,
                label,
                said.rating,
                corrections is not None,
                said.comment,
                call.unit,
            )
        )
    return lines


def inputs_of(text: str | None, rows: int) -> Raws | None:
    """As examples.split_inputs, without parsing what is in a row."""
    if text is None:
        return None
    if text[:1] == "[":
        try:
            parts = _raws.decode(text)
        except (msgspec.DecodeError, RecursionError):
            parts = []
        if len(parts) == rows and (rows > 1 or bytes(parts[0])[:1] in (b"[", b"{")):
            return parts
        return [msgspec.Raw(text.encode())] if rows == 1 else None
    try:
        found = split_inputs(msgspec.json.decode(text), rows)
    except (msgspec.DecodeError, RecursionError):
        return [msgspec.Raw(_encoder.encode(text))] if rows == 1 else None
    return None if found is None else [msgspec.Raw(_encoder.encode(value)) for value in found]


def _outputs(text: str | None, rows: int) -> Raws | None:
    if text is None:
        return None
    if text[:1] == "[":
        parts = _raws.decode(text)
        if len(parts) == rows:
            return parts
    return [msgspec.Raw(text.encode())] if rows == 1 else None


def _jsonl(lines: Sequence[Line]) -> bytes:
    return _encoder.encode_lines(lines)


def _grouped(batches: Iterator[list[Line]]) -> Iterator[bytes]:
    """Parquet, a group of rows at a time. `null` is no value."""
    flow, lines = ParquetFlow(_KINDS), list[Line]()
    for batch in batches:
        lines += batch
        if len(lines) >= GROUP_ROWS:
            yield flow.write(_columns(lines))
            lines = []
    if lines:
        yield flow.write(_columns(lines))
    yield flow.close()


def _columns(lines: Sequence[Line]) -> list[list[Any]]:
    texts = ("inputs", "output", "label")
    return [
        [_json(getattr(line, name)) for line in lines] if name in texts else [getattr(line, name) for line in lines]
        for name in COLUMNS
    ]


def _json(raw: msgspec.Raw) -> str | None:
    text = _text(raw)
    return None if text == "null" else text


def _named(conn: Any, models: Mapping[str, str]) -> tuple[str, ...]:
    """Named inputs of the endpoints' signatures: columns that a table has from its first row on."""
    names: dict[str, None] = {}
    for endpoint in endpoints.all(conn):
        for variant in endpoint.variants if endpoint.name in models else ():
            specs = variant.package.signature.inputs
            if len(specs) > 1 or variant.package.signature.layout == "columns":
                names |= dict.fromkeys(spec.name for spec in specs)
    return tuple(names)


def _heads(named: Sequence[str]) -> list[str]:
    """`inputs` holds the JSON of inputs that have other names."""
    return [*COLUMNS, *(f"inputs.{name}" for name in named)]


def _csv(named: Sequence[str]) -> Callable[[Sequence[Line]], bytes]:
    known = set(named)

    def write(lines: Sequence[Line]) -> bytes:
        return _cells([_row(line, named, known) for line in lines])

    return write


def _row(line: Line, named: Sequence[str], known: set[str]) -> list[Any]:
    inputs, columns = _text(line.inputs), [None] * len(named)
    if named and inputs[:1] == "{":
        values = msgspec.json.decode(line.inputs)
        if values.keys() <= known:
            inputs, columns = "", [_cell(values.get(name)) for name in named]
    told = [_scalar(value) for value in (line.output, line.label)]
    flags = [_cell(line.rating), _cell(line.corrected), line.comment, line.unit]
    return [line.trace_id, line.time, line.endpoint, line.model, line.version, inputs, *told, *flags, *columns]


def _scalar(raw: msgspec.Raw) -> Any:
    """A text without its quotes, nothing as an empty cell, all else as JSON."""
    text = _text(raw)
    if text[:1] == '"':
        return msgspec.json.decode(text)
    return "" if text == "null" else text


def _cell(value: Any) -> Any:
    return _encoder.encode(value).decode() if isinstance(value, bool | list | dict) else value


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode()


def _cells(rows: Sequence[Sequence[Any]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()
