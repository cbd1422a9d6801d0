"""The rows of an export (lines.COLUMNS) as JSON lines and as CSV, column by column: no row is ever an object.

Called by flywheel/stream.py. Decides how a value looks in each; the texts are those that msgspec and the csv module
write, which the tests compare. All pieces of all rows are joined in one step, so that what Arrow holds at its end is
the block of the file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from headrace.store.lines import Lines

_JSON: Final = ("inputs", "output", "label")  # columns that are JSON texts
_ESCAPED: Final = r'["\\\x00-\x1f]'
_QUOTED: Final = '[,"\r\n]'
_DECIMAL: Final = (1.0, 1e10)  # between them Arrow writes numbers as everybody does, but for a missing ".0"
_encoder: Final = msgspec.json.Encoder()


def jsonl(lines: Lines) -> bytes:
    written = {
        "time": _times(lines["time"]),
        "version": lines["version"].cast(pa.string()),
        "rating": lines["rating"].cast(pa.string()),
        "corrected": lines["corrected"].cast(pa.string()),
    }
    pieces: list[Any] = []
    start = "{"
    for name in lines.schema.names:
        pieces.append(f'{start}"{name}":')
        start = ","
        if name in written:
            pieces.append(_or(written[name], "null"))
        elif name in _JSON:
            pieces.append(_or(lines[name], "null"))
        else:
            pieces += _quoted(lines[name])
    return _joined([*pieces, "}\n"])


def _quoted(column: pa.Array) -> list[Any]:
    """Pieces of a text in JSON."""
    if column.null_count == len(column):
        return ["null"]
    if not pc.any(pc.match_substring_regex(column, _ESCAPED)).as_py():
        if not column.null_count:
            return ['"', column, '"']
        return [_or(pc.binary_join_element_wise('"', column, '"', ""), "null")]
    return [pa.array([_encoder.encode(value).decode() for value in column.to_pylist()], pa.string())]


def _or(column: pa.Array, nothing: str | bool) -> pa.Array:
    return pc.fill_null(column, nothing) if column.null_count else column


def _times(column: pa.Array) -> pa.Array:
    low, high = _DECIMAL
    bounds = pc.min_max(column)
    if bounds["min"].as_py() < low or bounds["max"].as_py() >= high:
        return pa.array([_encoder.encode(value).decode() for value in column.to_pylist()], pa.string())
    text = column.cast(pa.string())
    return pc.if_else(pc.match_substring(text, "."), text, pc.binary_join_element_wise(text, ".0", ""))


def head_of(names: Sequence[str]) -> bytes:
    """A CSV's first line."""
    out = io.StringIO(newline="")
    csv.writer(out).writerow(names)
    return out.getvalue().encode()


def csv_of(lines: Lines, named: Sequence[str]) -> bytes:
    """`named`: inputs that have a column each, behind the others; what has other names stays in `inputs`."""
    inputs, more = _spread(_or(lines["inputs"], "null"), named)
    cells = {name: lines[name] for name in lines.schema.names} | {
        "time": _times(lines["time"]),
        "inputs": inputs,
        "output": _scalars(lines["output"]),
        "label": _scalars(lines["label"]),
    }
    pieces: list[Any] = []
    for cell in (*cells.values(), *more):
        pieces += [",", _cell(cell)]
    return _joined([*pieces[1:], "\r\n"])


def _cell(column: pa.Array) -> pa.Array | str:
    if column.null_count == len(column):
        return ""
    if not pa.types.is_string(column.type):
        return _or(column.cast(pa.string()), "")
    column = _or(column, "")
    special = pc.match_substring_regex(column, _QUOTED)
    if not special.true_count:
        return column
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(column, '"', '""'), '"', "")
    return quoted if special.true_count == len(special) else pc.if_else(special, quoted, column)


def _scalars(column: pa.Array) -> pa.Array:
    """Texts without their quotes; all else as JSON."""
    texts = _or(pc.starts_with(column, '"'), False)
    if not texts.true_count:
        return column
    plain = [msgspec.json.decode(value) for value in column.filter(texts).to_pylist()]
    return pc.replace_with_mask(column, texts, pa.array(plain, pa.string()))


def _spread(inputs: pa.Array, named: Sequence[str]) -> tuple[pa.Array, list[pa.Array]]:
    """Inputs of these names alone go into their columns."""
    if not named:
        return inputs, []
    objects = pc.starts_with(inputs, "{")
    rows = [
        _row(value, named) if given else None
        for value, given in zip(inputs.to_pylist(), objects.to_pylist(), strict=True)
    ]
    spread = pa.array([row is not None for row in rows], pa.bool_())
    nothing: list[str] = [""] * len(named)
    columns = zip(*(row or nothing for row in rows), strict=True)
    return pc.if_else(spread, "", inputs), [pa.array(column, pa.string()) for column in columns]


def _row(text: str, named: Collection[str]) -> list[str] | None:
    values = msgspec.json.decode(text)
    if not values.keys() <= set(named):
        return None
    return [_text(values.get(name)) for name in named]


def _text(value: Any) -> str:
    """Numbers and text as they are; true, false, lists and objects as JSON; nothing as an empty cell."""
    if value is None:
        return ""
    return _encoder.encode(value).decode() if isinstance(value, bool | list | dict) else str(value)


def _joined(pieces: Sequence[Any]) -> bytes:
    """Neither null nor a separator in between: the rows lie one behind the other in Arrow's own buffer."""
    text = pc.binary_join_element_wise(*pieces, "")
    size = pc.sum(pc.binary_length(text)).as_py()
    found = memoryview(text.buffers()[2])[:size]
    return bytes(found)
