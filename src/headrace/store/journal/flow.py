"""Calls as Arrow columns, as fast as they can be read: for an export of millions. Called by JournalQuery.

Decides which row groups of a file are read (by their times and trace ids), and the order, (time, trace id) over all
files, with little memory: of each file that is open one block is held, and a file is opened when the order reaches its
first call. Input and output stay JSON text: whoever writes them out again need not parse them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.types.errors import Unavailable

BLOCK_BYTES = 4 << 20  # of what a block's rows are before they are compressed, all columns together
MOST = 16_384  # rows of a block


class Passed(NamedTuple):
    """Begins with what it is ordered by, so that tuples compare without a key."""

    time: float
    trace_id: str
    endpoint: str
    version: int
    unit: str
    status: str
    rows: int
    input: str | None
    output: str | None
    shadow_of: str | None
    reason: str


_TYPES: Final = {"time": pa.float64(), "version": pa.int64(), "rows": pa.int64()}
SCHEMA: Final = pa.schema([(name, _TYPES.get(name, pa.string())) for name in Passed._fields])
_REPEATED: Final = ["endpoint", "unit", "status", "shadow_of", "reason"]  # read as numbers, as the file has them
_ORDER: Final = [("time", "ascending"), ("trace_id", "ascending")]

Key = tuple[float, str]
Among = Callable[[str, str], Sequence[str]]  # the trace ids that are wanted, from one to another, both included


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`since` is included, `until` and `behind` (time and trace id of a row) are not. None is no bound."""

    since: float | None = None
    until: float | None = None
    behind: Key | None = None

    def touches(self, first: float, last: float) -> bool:
        return not (
            (self.since is not None and last < self.since)
            or (self.until is not None and first >= self.until)
            or (self.behind is not None and last < self.behind[0])
        )

    def cut(self, block: pa.RecordBatch) -> pa.RecordBatch:
        """Its rows that are in the window. It is in order, so they follow one another."""
        first, last = _key(block, 0), _key(block, block.num_rows - 1)
        start, stop = 0, block.num_rows
        if self.since is not None and first[0] < self.since:
            start = _count(pc.less(block["time"], self.since))
        if self.behind is not None and first <= self.behind:
            start = max(start, _until(block, self.behind))
        if self.until is not None and last[0] >= self.until:
            stop = _count(pc.less(block["time"], self.until))
        return block.slice(start, max(0, stop - start))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Blocks in order, none of them empty; opened when they are asked for. `first`: no row is earlier."""

    first: float
    blocks: Callable[[], Iterator[pa.RecordBatch]]


def read(path: Path, window: Window, among: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """What is wanted of one file of the archive. `among`: trace ids in order, these alone."""
    try:
        told = pq.read_metadata(path)
        known = told.schema.names
        names = [name for name in SCHEMA.names if name in known]
        repeated = [name for name in _REPEATED if name in known]
        with pq.ParquetFile(path, metadata=told, read_dictionary=repeated) as file:
            for number in range(told.num_row_groups):
                group = _Group(told.row_group(number), known)
                if (ids := group.wanted(window, among)) is None:
                    continue
                for block in file.iter_batches(group.rows_at_once, row_groups=[number], columns=names):
                    found = _chosen(window.cut(block), ids)
                    if found.num_rows:
                        yield _full(found)
    except (pa.ArrowException, OSError) as error:
        raise Unavailable(f"the journal's archive cannot be read: {error}", retry_after=1.0) from error


class _Group:
    """What a file says of one of its row groups."""

    def __init__(self, told: Any, names: Sequence[str]) -> None:
        self._told = told
        self._first, self._last = self._bounds(names.index("time"))
        self._low, self._high = self._bounds(names.index("trace_id"))

    def wanted(self, window: Window, among: Sequence[str] | None) -> Sequence[str] | None:
        """None: nothing of it. Empty: all that is in the window, else these trace ids alone."""
        if not window.touches(self._first, self._last):
            return None
        return () if among is None else among[bisect_left(among, self._low) : bisect_right(among, self._high)] or None

    @property
    def rows_at_once(self) -> int:
        each = max(1, self._told.total_byte_size // max(1, self._told.num_rows))
        return int(min(MOST, max(1, BLOCK_BYTES // each)))

    def _bounds(self, column: int) -> tuple[Any, Any]:
        """The archive writes them of every column that has a value."""
        found = self._told.column(column).statistics
        return found.min, found.max


def held(rows: Sequence[dict[str, Any]], among: Among | None) -> Source | None:
    """Rows that are in no file yet, by name of their columns and in any order."""
    if not rows:
        return None
    block = pa.RecordBatch.from_pylist(list(rows), schema=SCHEMA)
    block = block.take(pc.sort_indices(block, sort_keys=_ORDER))
    if among is not None:
        ids = pc.min_max(block["trace_id"])
        wanted = among(ids["min"].as_py(), ids["max"].as_py())
        block = _chosen(block, wanted) if wanted else block.slice(0, 0)
    if not block.num_rows:
        return None
    parts = [block.slice(start, MOST) for start in range(0, block.num_rows, MOST)]
    return Source(first=_key(block, 0)[0], blocks=lambda: iter(parts))


def merge(sources: Sequence[Source]) -> Iterator[pa.RecordBatch]:
    """All rows of all sources in one order, in blocks."""
    pending = deque(sorted(sources, key=lambda source: source.first))
    open_: list[_Open] = []
    while pending or open_:
        if pending and (not open_ or pending[0].first <= min(one.end for one in open_)[0]):
            one = _Open(pending.popleft().blocks())
            if one.more():
                open_.append(one)
            continue
        end = min(one.end for one in open_)  # what is not read yet is behind it
        parts = [part for one in open_ if (part := one.until(end)).num_rows]
        yield parts[0] if len(parts) == 1 else _sorted(parts)
        open_ = [one for one in open_ if one.left or one.more()]


class _Open:
    """A source of which one block is held."""

    def __init__(self, blocks: Iterator[pa.RecordBatch]) -> None:
        self._blocks = blocks
        self._block: pa.RecordBatch = None

    def more(self) -> bool:
        self._block = next(self._blocks, None)
        if self._block is None:
            return False
        self.end = _key(self._block, self._block.num_rows - 1)
        return True

    @property
    def left(self) -> bool:
        return bool(self._block.num_rows)

    def until(self, end: Key) -> pa.RecordBatch:
        """Its rows up to `end`, which it has no longer."""
        count = self._block.num_rows if self.end <= end else _until(self._block, end)
        part = self._block.slice(0, count)
        self._block = self._block.slice(count)
        return part


def _sorted(parts: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    block = pa.concat_batches(parts)
    return block.take(pc.sort_indices(block, sort_keys=_ORDER))


def _key(block: pa.RecordBatch, row: int) -> Key:
    return block["time"][row].as_py(), block["trace_id"][row].as_py()


def _until(block: pa.RecordBatch, end: Key) -> int:
    """How many of its rows are not behind `end`."""
    same = pc.and_(pc.equal(block["time"], end[0]), pc.less_equal(block["trace_id"], end[1]))
    return _count(pc.or_(pc.less(block["time"], end[0]), same))


def _count(mask: pa.BooleanArray) -> int:
    return int(mask.true_count)


def _chosen(block: pa.RecordBatch, ids: Sequence[str]) -> pa.RecordBatch:
    if not ids or not block.num_rows:
        return block
    return block.filter(pc.is_in(block["trace_id"], value_set=pa.array(ids, pa.string())))


def _full(block: pa.RecordBatch) -> pa.RecordBatch:
    """With all columns, as SCHEMA has them; those that are younger than the file have no values."""
    columns = [
        block[name] if name in block.schema.names else pa.nulls(block.num_rows, SCHEMA.field(name).type)
        for name in SCHEMA.names
    ]
    return pa.RecordBatch.from_arrays(
        [column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in columns],
        schema=SCHEMA,
    )
