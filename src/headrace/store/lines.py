"""Calls and what people said of them as the rows of an export, in columns. texts.py and rows.py write them.

Called by flywheel/stream.py, which decides whose calls count and which answer is right. A call of one row whose input
and output are lists of one entry, or no lists, is taken apart here, by vector steps; any other is shown to `split`, one
by one. What a call holds stays the JSON text that it is. Arrow stays in this room.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from headrace.store.journal.flow import Passed
from headrace.store.shapes import Shapes
from headrace.types.call import CallStatus
from headrace.types.traffic import Reason

COLUMNS: Final = {
    "trace_id": pa.string(),
    "time": pa.float64(),
    "endpoint": pa.string(),
    "model": pa.string(),
    "version": pa.int64(),
    "inputs": pa.string(),
    "output": pa.string(),
    "label": pa.string(),
    "rating": pa.bool_(),
    "corrected": pa.bool_(),
    "comment": pa.string(),
    "unit": pa.string(),
}
SCHEMA: Final = pa.schema(COLUMNS.items())
Lines: TypeAlias = pa.RecordBatch  # of SCHEMA
_PARTS: Final = pa.schema([(n, COLUMNS[n]) for n in ("inputs", "output", "label", "corrected")])
_MENDED: Final = (CallStatus.FAILED.value, CallStatus.TIMEOUT.value)  # worth a row when a person said what is right


class Told(NamedTuple):
    """What people said of one call. `correction`: the JSON that fits a call of one row."""

    rating: bool | None
    comment: str | None
    correction: str | None


class Part(NamedTuple):
    """One row of a call. All but `corrected` are JSON; None is null."""

    inputs: str | None
    output: str | None
    label: str | None
    corrected: bool


class Calls:
    """A block of the journal (flow.SCHEMA)."""

    def __init__(self, block: pa.RecordBatch) -> None:
        self.block = block

    def __len__(self) -> int:
        return int(self.block.num_rows)

    @property
    def between(self) -> tuple[str, str]:
        """The least and the greatest trace id."""
        found = pc.min_max(self.block["trace_id"])
        return found["min"].as_py(), found["max"].as_py()

    def served(self, endpoints: Collection[str]) -> Calls:
        """Users' own, as Call.from_user says it, of these endpoints."""
        block = self.block
        own = pc.equal(pc.fill_null(block["shadow_of"], ""), "")
        asked = pc.not_equal(pc.fill_null(block["reason"], ""), Reason.GATE.value)
        return self._filter(pc.and_(_among(block["endpoint"], endpoints), pc.and_(own, asked)))

    def spoken(self, trace_ids: Collection[str]) -> Calls:
        return self._filter(_among(self.block["trace_id"], trace_ids))

    def answered(self, corrected: Collection[str]) -> Calls:
        """Those with an answer, and those that failed and were `corrected`."""
        status = self.block["status"]
        good = pc.equal(status, CallStatus.OK.value)
        mended = pc.and_(_among(status, _MENDED), _among(self.block["trace_id"], corrected))
        return self._filter(pc.or_(good, mended))

    def _filter(self, mask: pa.BooleanArray) -> Calls:
        return self if mask.true_count == len(mask) else Calls(self.block.filter(mask))


def _among(column: pa.Array, values: Collection[str]) -> pa.BooleanArray:
    return pc.is_in(column, value_set=pa.array(list(values), pa.string()))


def lines_of(
    calls: Calls,
    told: Mapping[str, Told],
    models: Mapping[str, str],
    *,
    split: Callable[[Passed], Sequence[Part]],
    limit: int | None,
) -> tuple[Lines, int]:
    """Rows, and of how many calls: of `limit` at most. `models`: by endpoint."""
    words = _words(calls.block["trace_id"], told)
    parts, at = _parts(calls.block, words, split)
    counted = pc.unique(at)
    if limit is not None and len(counted) > limit:
        stays = pc.less_equal(at, counted[limit - 1])
        parts, at, counted = parts.filter(stays), at.filter(stays), counted.slice(0, limit)
    block = calls.block if len(at) == len(calls) == len(counted) else calls.block.take(at)
    spoken = words if block is calls.block else words.take(at)
    model = _mapped(block["endpoint"], models)
    found = {name: block[name] for name in ("trace_id", "time", "endpoint", "version", "unit")}
    found |= {name: parts[name] for name in _PARTS.names}
    found |= {"model": model, "rating": spoken["rating"], "comment": spoken["comment"]}
    return pa.RecordBatch.from_arrays([found[name] for name in COLUMNS], schema=SCHEMA), len(counted)


def _mapped(column: pa.Array, names: Mapping[str, str]) -> pa.Array:
    return pa.array(names.values(), pa.string()).take(pc.index_in(column, value_set=pa.array(names, pa.string())))


def _words(trace_ids: pa.Array, told: Mapping[str, Told]) -> pa.RecordBatch:
    """A row for each call: what was said, or nulls."""
    columns = {
        "rating": pa.array([one.rating for one in told.values()], pa.bool_()),
        "comment": pa.array([one.comment for one in told.values()], pa.string()),
        "correction": pa.array([one.correction for one in told.values()], pa.string()),
    }
    where = pc.index_in(trace_ids, value_set=pa.array(told, pa.string()))
    return pa.record_batch({name: column.take(where) for name, column in columns.items()})


def _parts(
    block: pa.RecordBatch, words: pa.RecordBatch, split: Callable[[Passed], Sequence[Part]]
) -> tuple[pa.RecordBatch, pa.Array]:
    """`_PARTS` of all rows in order, and the number in the block of the call that each is of."""
    given, answered = Shapes(block["input"]), Shapes(block["output"])
    nested, single = given.nested(), answered.nested() | answered.scalar()
    inputs, output = given.opened(nested), _no_null(answered.opened(single))
    apart = pa.array((nested | given.scalars()) & (single | ~answered.lists))
    plain = pc.and_(apart, pc.fill_null(pc.equal(block["rows"], 1), False))
    corrected = pc.is_valid(words["correction"])
    praised = pc.if_else(pc.fill_null(words["rating"], False), output, None)
    label = _no_null(pc.if_else(corrected, words["correction"], praised))
    parts = pa.RecordBatch.from_arrays([inputs, output, label, corrected], schema=_PARTS)
    at = pa.array(range(block.num_rows), pa.int64())
    if plain.true_count == block.num_rows:
        return parts, at
    others, whose = _split(block, at.filter(pc.invert(plain)), split)
    parts = pa.concat_batches([parts.filter(plain), others])
    at = pa.concat_arrays([at.filter(plain), whose])
    order = pc.sort_indices(at)
    return parts.take(order), at.take(order)


def _split(
    block: pa.RecordBatch, which: pa.Array, split: Callable[[Passed], Sequence[Part]]
) -> tuple[pa.RecordBatch, pa.Array]:
    """The same of the calls with these numbers, one by one."""
    columns = [column.to_pylist() for column in block.take(which).columns]
    odd: list[Part] = []
    whose: list[int] = []
    for number, values in zip(which.to_pylist(), zip(*columns, strict=True), strict=True):
        found = split(Passed(*values))
        odd += found
        whose += [number] * len(found)
    told = zip(*odd, strict=True) if odd else [()] * len(_PARTS)
    parts = [pa.array(column, kind) for column, kind in zip(told, _PARTS.types, strict=True)]
    return pa.RecordBatch.from_arrays(parts, schema=_PARTS), pa.array(whose, pa.int64())


def _no_null(column: pa.Array) -> pa.Array:
    none = pc.equal(column, "null")
    return pc.if_else(none, None, column) if none.true_count else column
