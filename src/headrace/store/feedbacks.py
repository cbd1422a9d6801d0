"""Feedback as it stands now: one row for (trace, rater, name), the newest word of that person.

Called by the collector (writes, from the journal), the mirror to MLflow (`unsent`), export and the console.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection, insert, select, update

from headrace.store.tables import feedback, pack, unpack
from headrace.types.call import Feedback

_CHUNK = 500  # ids in one query; SQLite allows 32,766 variables, PostgreSQL 65,535


def put(conn: Connection, items: Iterable[Feedback]) -> int:
    """How many rows are new or changed. The same word twice changes nothing; an older one replaces nothing."""
    newest: dict[str, Feedback] = {}
    for item in items:
        if item.id not in newest or item.time >= newest[item.id].time:
            newest[item.id] = item
    known = {f.id: f for f in _by_ids(conn, list(newest))}
    fresh = [f for f in newest.values() if f.id not in known]
    changed = [f for f in newest.values() if f.id in known and _replaces(f, known[f.id])]
    if fresh:
        conn.execute(insert(feedback), [_row(f) for f in fresh])
    for item in changed:
        conn.execute(update(feedback).where(feedback.c.id == item.id).values(**_row(item)))
    return len(fresh) + len(changed)


def _replaces(new: Feedback, old: Feedback) -> bool:
    same = (new.value, new.comment, new.source) == (old.value, old.comment, old.source)
    return new.time >= old.time and not same


def _row(item: Feedback) -> dict[str, object]:
    return {"id": item.id, "trace_id": item.trace_id, "time": item.time, "sent": None, "body": pack(item)}


def _by_ids(conn: Connection, ids: Sequence[str]) -> Iterator[Feedback]:
    for start in range(0, len(ids), _CHUNK):
        query = select(feedback.c.body).where(feedback.c.id.in_(ids[start : start + _CHUNK]))
        yield from (unpack(body, Feedback) for body in conn.scalars(query))


def for_traces(conn: Connection, trace_ids: Sequence[str]) -> dict[str, tuple[Feedback, ...]]:
    """By trace id, each in order of time; a trace without feedback is absent."""
    found: dict[str, list[Feedback]] = {}
    for start in range(0, len(trace_ids), _CHUNK):
        some = list(trace_ids[start : start + _CHUNK])
        query = select(feedback.c.body).where(feedback.c.trace_id.in_(some)).order_by(feedback.c.time, feedback.c.id)
        for body in conn.scalars(query):
            item = unpack(body, Feedback)
            found.setdefault(item.trace_id, []).append(item)
    return {trace_id: tuple(items) for trace_id, items in found.items()}


def recent(conn: Connection, *, limit: int = 100) -> tuple[Feedback, ...]:
    """Newest first."""
    query = select(feedback.c.body).order_by(feedback.c.time.desc()).limit(limit)
    return tuple(unpack(body, Feedback) for body in conn.scalars(query))


def between(conn: Connection, since: float, until: float) -> Iterator[Feedback]:
    """In order of time, `since` included and `until` not; streamed."""
    query = (
        select(feedback.c.body)
        .where(feedback.c.time >= since, feedback.c.time < until)
        .order_by(feedback.c.time, feedback.c.id)
    )
    for body in conn.execution_options(yield_per=1000).scalars(query):
        yield unpack(body, Feedback)


def unsent(conn: Connection, *, limit: int = 500) -> tuple[Feedback, ...]:
    """What MLflow has not been told yet, oldest first."""
    query = select(feedback.c.body).where(feedback.c.sent.is_(None)).order_by(feedback.c.time).limit(limit)
    return tuple(unpack(body, Feedback) for body in conn.scalars(query))


def mark_sent(conn: Connection, items: Iterable[Feedback], now: float) -> None:
    """One that was changed since it was read stays unsent."""
    for item in items:
        unchanged = (feedback.c.id == item.id) & (feedback.c.time == item.time)
        conn.execute(update(feedback).where(unchanged).values(sent=now))
