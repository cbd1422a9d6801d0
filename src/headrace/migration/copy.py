"""All rows that were there before: read from the source in chunks, taken over by the target, read back, compared.

Called by migrate.py while each write already goes to both stores. Decides where to go on after a kill: behind the last
chunk that was read back and found right. A row that is written meanwhile has a later version in the target, which
refuses the copied one; such rows are left out of a chunk's checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headrace.migration.record import Record
from headrace.migration.roles import SOURCE, TARGET, Stores
from headrace.migration.values import by_key, checksum, same
from headrace.types.errors import Conflict, UpstreamError
from headrace.types.migration import Chunk, Layout, Progress, Role, Row

Shown = Callable[[Progress], None]
ENDED = "-"  # as the place to go on from: nowhere


def copy_rows(stores: Stores, layout: Layout, record: Record, *, limit: int, show: Shown) -> int:
    """How many rows there are in all chunks. Raises UpstreamError when a row does not come back as it was given."""
    source, target = stores[SOURCE], stores[TARGET]
    last, total = record.last_chunk(), source.size()
    done, number, after = record.copied(), last.number if last else 0, last.after if last else ""
    while after != ENDED:
        show(Progress(what="copy", done=done, total=total))
        if source.standing().role is not Role.TRUTH:
            raise Conflict(
                f"{source.name} is no longer the truth: reads were switched meanwhile", hint="headrace migrate status"
            )
        page = source.page(after, limit)
        target.follow(page.rows)
        number, done, after = number + 1, done + len(page.rows), page.after or ENDED
        record.add_chunk(
            Chunk(number=number, after=after, rows=len(page.rows), checksum=_read_back(stores, layout, page.rows))
        )
    show(Progress(what="copy", done=done, total=max(done, total)))
    return done


def _read_back(stores: Stores, layout: Layout, rows: Sequence[Row]) -> str:
    found = by_key(stores[TARGET].get([row.key for row in rows]).rows)
    kept = [row for row in rows if found[row.key].version == row.version]
    for row in kept:
        if not same(layout, row, found[row.key]):
            what = differing(layout, row, found[row.key])
            raise UpstreamError(
                f"{stores[TARGET].name} gives back row {row.key!r} differently: {what}",
                hint="its columns do not hold what the source's do",
            )
    return checksum(layout, kept)


def differing(layout: Layout, one: Row, other: Row) -> str:
    """The first field in which they differ."""
    if one.values is None or other.values is None:
        return "it is not there"
    for spec in layout.fields:
        before, after = one.values[spec.name], other.values[spec.name]
        if before != after:
            return f"{spec.name} is {after!r}, it was {before!r}"
    return "nothing"
