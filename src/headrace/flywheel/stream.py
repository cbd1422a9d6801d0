"""A large export, block by block: begins at once, is never whole anywhere, and can be taken up where it broke off.

Called by GET /export for more calls than are worth a file first, and for pages. The rows are those of export.py
(examples.py decides), in the order of (time, trace id): `after` is these two of the last row that arrived. What a call
holds is passed on as the JSON it is in the journal; in Parquet, whose columns have their types from the first byte on,
as its text. Works on columns (store/lines.py); of single calls it sees those that were spoken of, and those whose rows
must be told apart. With a rating only those files and row groups are read in which a call was spoken of.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import msgspec

from headrace.base.ahead import ahead
from headrace.flywheel.examples import COLUMNS, NOTHING, Said, rows_of, split_inputs, sum_up
from headrace.flywheel.selection import Format, Selection
from headrace.flywheel.wanted import endpoints_of
from headrace.store import endpoints, feedbacks
from headrace.store.db import Database
from headrace.store.journal.flow import Passed
from headrace.store.journal.query import JournalQuery
from headrace.store.lines import Calls, Lines, Part, Told, lines_of
from headrace.store.rows import ParquetFlow
from headrace.store.texts import csv_of, head_of, jsonl

GROUP_ROWS = 10_000  # of a group in Parquet, at least
_raws: Final = msgspec.json.Decoder(list[msgspec.Raw])
_encoder: Final = msgspec.json.Encoder()


class Streamer:
    def __init__(self, *, database: Database, query: JournalQuery) -> None:
        self._database, self._query = database, query

    def stream(self, selection: Selection) -> Generator[bytes]:
        """Blocks of the file. Raises NotFound for an unknown model or endpoint, before the first."""
        with self._database.read() as conn:
            models = endpoints_of(conn, model=selection.model, endpoint=selection.endpoint)
            named = _named(conn, models)
        found = self._lines(selection, models) if models else iter(())
        if selection.format is Format.PARQUET:
            return ahead(_grouped(found))
        if selection.format is Format.CSV:
            head = [head_of([*COLUMNS, *(f"inputs.{name}" for name in named)])] if selection.after is None else []
            return ahead(chain(head, (csv_of(lines, named) for lines in found)))
        return ahead(jsonl(lines) for lines in found)

    def _lines(self, selection: Selection, models: Mapping[str, str]) -> Iterator[Lines]:
        left = selection.limit
        blocks = self._query.blocks(
            since=selection.since,
            until=selection.until,
            after=selection.after,
            among=self._spoken_of if selection.rating else None,
        )
        for block in ahead(blocks):
            calls = Calls(block).served(models)
            if not len(calls):
                continue
            said = self._said(calls, selection)
            if selection.rating is not None:
                calls = calls.spoken(said)
            calls = calls.answered([trace_id for trace_id, one in said.items() if one.corrected])
            if not len(calls):
                continue
            lines, count = lines_of(calls, _told(said), models, split=_Split(said), limit=left)
            if count:
                yield lines
            if left is not None and (left := left - count) <= 0:
                return

    def _spoken_of(self, low: str, high: str) -> Sequence[str]:
        with self._database.read() as conn:
            return feedbacks.spoken_of(conn, low, high)

    def _said(self, calls: Calls, selection: Selection) -> dict[str, Said]:
        """By trace id; of the calls that were not spoken of, nothing."""
        with self._database.read() as conn:
            given = feedbacks.within(conn, *calls.between)
        said = {trace_id: sum_up(words) for trace_id, words in given.items()}
        return {trace_id: one for trace_id, one in said.items() if one.matches(selection.rating)}


def _told(said: Mapping[str, Said]) -> dict[str, Told]:
    return {
        trace_id: Told(rating=one.rating, comment=one.comment, correction=_correction(one))
        for trace_id, one in said.items()
    }


def _correction(said: Said) -> str | None:
    """Of a call of one row."""
    fitting = rows_of(said.correction, 1) if said.corrected else None
    return None if fitting is None else _encoder.encode(fitting[0]).decode()


class _Split:
    """The rows of a call that is not as simple as most."""

    def __init__(self, said: Mapping[str, Said]) -> None:
        self._said = said

    def __call__(self, call: Passed) -> list[Part]:
        """One for each row of the call; none when its input was not kept."""
        said = self._said.get(call.trace_id, NOTHING)
        inputs = inputs_of(call.input, call.rows)
        if inputs is None:
            return []
        outputs = _outputs(call.output, call.rows)
        corrections = rows_of(said.correction, call.rows) if said.corrected else None
        parts = []
        for index, values in enumerate(inputs):
            output = outputs[index] if outputs is not None else None
            label = output if said.rating else None
            if corrections is not None:
                label = _text(_encoder.encode(corrections[index]))
            parts.append(Part(_text(values), output, label, corrections is not None))
        return parts


def inputs_of(text: str | None, rows: int) -> list[bytes] | None:
    """As examples.split_inputs, without parsing what is in a row of a list."""
    if text is None:
        return None
    if text[:1] == "[":
        try:
            parts = [bytes(part) for part in _raws.decode(text)]
        except (msgspec.DecodeError, RecursionError):
            parts = []
        if len(parts) == rows and (rows > 1 or parts[0][:1] in (b"[", b"{")):
            return parts
        return [text.encode()] if rows == 1 else None
    try:
        found = split_inputs(msgspec.json.decode(text), rows)
    except (msgspec.DecodeError, RecursionError):
        return [_encoder.encode(text)] if rows == 1 else None
    return None if found is None else [_encoder.encode(value) for value in found]


def _outputs(text: str | None, rows: int) -> list[str | None] | None:
    if text is None:
        return None
    if text[:1] == "[":
        parts = _raws.decode(text)
        if len(parts) == rows:
            return [_text(bytes(part)) for part in parts]
    return [text] if rows == 1 else None


def _text(value: bytes) -> str | None:
    return None if value == b"null" else value.decode()


def _grouped(found: Iterator[Lines]) -> Iterator[bytes]:
    """Parquet, a group of rows at a time."""
    flow, waiting, rows = ParquetFlow(), list[Lines](), 0
    for lines in found:
        waiting.append(lines)
        rows += lines.num_rows
        if rows >= GROUP_ROWS:
            yield flow.write(waiting)
            waiting, rows = [], 0
    if waiting:
        yield flow.write(waiting)
    yield flow.close()


def _named(conn: Any, models: Mapping[str, str]) -> tuple[str, ...]:
    """Named inputs of the endpoints' signatures: columns that a table has from its first row on."""
    names: dict[str, None] = {}
    for endpoint in endpoints.all(conn):
        for variant in endpoint.variants if endpoint.name in models else ():
            specs = variant.package.signature.inputs
            if len(specs) > 1 or variant.package.signature.layout == "columns":
                names |= dict.fromkeys(spec.name for spec in specs)
    return tuple(names)
