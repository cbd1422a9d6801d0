"""What waits for review, and with which chance it was drawn. Called by flywheel (review.py, gather.py)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, func, insert, select, update

from headrace.store.tables import pack, review, unpack
from headrace.types.review import ReviewItem, ReviewState

_CHUNK = 500


def add(conn: Connection, items: Iterable[tuple[ReviewItem, float]]) -> int:
    """`place` is the order of the queue. What is there already stays as it is: its chance is that of its first draw."""
    wanted = {item.trace_id: (item, place) for item, place in items}
    ids = list(wanted)
    for start in range(0, len(ids), _CHUNK):
        here = review.c.trace_id.in_(ids[start : start + _CHUNK])
        for known in conn.scalars(select(review.c.trace_id).where(here)):
            del wanted[known]
    rows = [{"place": place} | _columns(item) for item, place in wanted.values()]
    for start in range(0, len(rows), _CHUNK):
        conn.execute(insert(review).values(rows[start : start + _CHUNK]))
    return len(rows)


def get(conn: Connection, trace_id: str) -> ReviewItem | None:
    body = conn.scalar(select(review.c.body).where(review.c.trace_id == trace_id))
    return unpack(body, ReviewItem) if body else None


def put(conn: Connection, item: ReviewItem) -> None:
    conn.execute(update(review).where(review.c.trace_id == item.trace_id).values(**_columns(item)))


def listed(
    conn: Connection, *, state: ReviewState | None, endpoint: str | None = None, limit: int = 50
) -> tuple[ReviewItem, ...]:
    """In the order of the queue."""
    query = select(review.c.body).order_by(review.c.place, review.c.trace_id).limit(limit)
    if state is not None:
        query = query.where(review.c.state == state.value)
    if endpoint is not None:
        query = query.where(review.c.endpoint == endpoint)
    return tuple(unpack(body, ReviewItem) for body in conn.scalars(query))


def counts(conn: Connection, endpoint: str | None = None) -> dict[str, int]:
    """By state."""
    query = select(review.c.state, func.count()).group_by(review.c.state)
    if endpoint is not None:
        query = query.where(review.c.endpoint == endpoint)
    return {row[0]: row[1] for row in conn.execute(query)}


def propensities(conn: Connection, trace_ids: Sequence[str]) -> dict[str, float]:
    """Of those that were drawn."""
    found: dict[str, float] = {}
    for start in range(0, len(trace_ids), _CHUNK):
        query = select(review.c.body).where(review.c.trace_id.in_(trace_ids[start : start + _CHUNK]))
        for body in conn.scalars(query):
            item = unpack(body, ReviewItem)
            if item.propensity is not None:
                found[item.trace_id] = item.propensity
    return found


def _columns(item: ReviewItem) -> dict[str, object]:
    return {
        "trace_id": item.trace_id,
        "endpoint": item.endpoint,
        "state": item.state.value,
        "body": pack(item),
    }
