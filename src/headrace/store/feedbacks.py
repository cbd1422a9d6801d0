"""Feedback as it stands now: one row for (trace, rater, name), the newest word of that person.

Called by the collector (writes, from the journal), the mirror to MLflow (`unsent`), export and the console.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from sqlalchemy import Connection, insert, select, update

from headrace.base.ids import earliest_of, latest_of
from headrace.store.tables import feedback, feedback_history, pack, unpack
from headrace.types.call import Feedback

_CHUNK = 500  # rows in one statement; SQLite allows 32,766 variables, PostgreSQL 65,535


def put(conn: Connection, items: Iterable[Feedback]) -> int:
    """How many rows are new or say something new; these become unsent.

    The same word again only moves its time, so that a word in between that arrives late does not win. The result does
    not depend on the order of arrival, as long as one person's words have different times. What another word replaced
    goes into the history.
    """
    newest: dict[str, Feedback] = {}
    passed: list[Feedback] = []
    for item in items:
        old = newest.get(item.id)
        newest[item.id] = item if old is None or item.time >= old.time else old
        if old is not None and not _same_word(item, old):
            passed.append(old if item.time >= old.time else item)
    known = {f.id: f for f in _by_ids(conn, list(newest))}
    passed += [f if newest[f.id].time >= f.time else newest[f.id] for f in known.values()]
    _remember(conn, [f for f in passed if not _same_word(f, _later(newest[f.id], known.get(f.id)))])
    fresh = [f for f in newest.values() if f.id not in known]
    later = [f for f in newest.values() if f.id in known and f.time >= known[f.id].time]
    changed = 0
    for start in range(0, len(fresh), _CHUNK):
        conn.execute(insert(feedback).values([_row(f) for f in fresh[start : start + _CHUNK]]))
    for item in later:
        here = update(feedback).where(feedback.c.id == item.id)
        if not _same_word(item, known[item.id]):
            conn.execute(here.values(_row(item)))
            changed += 1
        elif item.time > known[item.id].time:
            conn.execute(here.values(time=item.time, body=pack(item)))
    return len(fresh) + changed


def _later(one: Feedback, other: Feedback | None) -> Feedback:
    return one if other is None or one.time >= other.time else other


def _remember(conn: Connection, items: Sequence[Feedback]) -> None:
    """Each once, although the journal may be read twice."""
    items = list({(f.id, f.time): f for f in items}.values())
    for start in range(0, len(items), _CHUNK):
        some = items[start : start + _CHUNK]
        here = feedback_history.c.id.in_([f.id for f in some])
        there = {(row.id, row.time) for row in conn.execute(select(feedback_history).where(here))}
        new = [f for f in some if (f.id, f.time) not in there]
        if new:
            rows = [{"id": f.id, "time": f.time, "trace_id": f.trace_id, "body": pack(f)} for f in new]
            conn.execute(insert(feedback_history).values(rows))


def _same_word(new: Feedback, old: Feedback) -> bool:
    """Compared as JSON: to Python 1, 1.0 and True are equal, to the person who corrected a label they are not."""
    return pack(replace(new, time=0.0)) == pack(replace(old, time=0.0))


def _row(item: Feedback) -> dict[str, object]:
    return {"id": item.id, "trace_id": item.trace_id, "time": item.time, "sent": None, "body": pack(item)}


def _by_ids(conn: Connection, ids: Sequence[str]) -> Iterator[Feedback]:
    for start in range(0, len(ids), _CHUNK):
        query = select(feedback.c.body).where(feedback.c.id.in_(ids[start : start + _CHUNK]))
        yield from (unpack(body, Feedback) for body in conn.scalars(query))


def for_traces(conn: Connection, trace_ids: Sequence[str]) -> dict[str, tuple[Feedback, ...]]:
    """By trace id, each in order of time; a trace without feedback, or of which all was taken back, is absent."""
    found: dict[str, list[Feedback]] = {}
    wanted = list(dict.fromkeys(trace_ids))
    for start in range(0, len(wanted), _CHUNK):
        some = wanted[start : start + _CHUNK]
        query = select(feedback.c.body).where(feedback.c.trace_id.in_(some)).order_by(feedback.c.time, feedback.c.id)
        for body in conn.scalars(query):
            item = unpack(body, Feedback)
            if not item.withdrawn:
                found.setdefault(item.trace_id, []).append(item)
    return {trace_id: tuple(items) for trace_id, items in found.items()}


def within(conn: Connection, low: str, high: str) -> dict[str, list[Feedback]]:
    """As for_traces, of all traces from `low` to `high`, both included; in no order. For thousands at once."""
    bodies = conn.scalars(select(feedback.c.body).where(feedback.c.trace_id.between(low, high))).all()
    found: dict[str, list[Feedback]] = {}
    for item in unpack(f"[{','.join(bodies)}]", list[Feedback]):
        if not item.withdrawn:
            found.setdefault(item.trace_id, []).append(item)
    return found


def history(conn: Connection, trace_id: str) -> tuple[Feedback, ...]:
    """All that was ever said of a trace, in order of time; the last of each id is how it stands now."""
    passed = select(feedback_history.c.body).where(feedback_history.c.trace_id == trace_id)
    standing = select(feedback.c.body).where(feedback.c.trace_id == trace_id)
    found = [unpack(body, Feedback) for query in (passed, standing) for body in conn.scalars(query)]
    return tuple(sorted(found, key=lambda f: (f.time, f.id)))


def rated(conn: Connection, since: float | None, until: float | None) -> list[str]:
    """Ids of the traces of this time (of the call, by its id) of which something is said. `until` is not included."""
    query = select(feedback.c.trace_id).distinct().order_by(feedback.c.trace_id)
    if since is not None:
        query = query.where(feedback.c.trace_id >= earliest_of(since))
    if until is not None:
        query = query.where(feedback.c.trace_id <= latest_of(until))
    return list(conn.scalars(query))


def spoken_of(conn: Connection, low: str, high: str) -> list[str]:
    """The traces from `low` to `high`, both included, of which something is or was said; in order."""
    query = select(feedback.c.trace_id).distinct().order_by(feedback.c.trace_id)
    return list(conn.scalars(query.where(feedback.c.trace_id.between(low, high))).all())


def recent(conn: Connection, *, limit: int = 100, offset: int = 0, name: str | None = None) -> tuple[Feedback, ...]:
    """Newest first; what was taken back is among it."""
    query = select(feedback.c.body).order_by(feedback.c.time.desc(), feedback.c.id)
    if name is None:
        return tuple(unpack(body, Feedback) for body in conn.scalars(query.limit(limit).offset(offset)))
    found = (unpack(body, Feedback) for body in conn.scalars(query, execution_options={"yield_per": 1000}))
    return tuple(islice((item for item in found if item.name == name), offset, offset + limit))


def between(conn: Connection, since: float, until: float) -> Iterator[Feedback]:
    """In order of time, `since` included and `until` not; streamed."""
    query = (
        select(feedback.c.body)
        .where(feedback.c.time >= since, feedback.c.time < until)
        .order_by(feedback.c.time, feedback.c.id)
    )
    for body in conn.scalars(query, execution_options={"yield_per": 1000}):
        yield unpack(body, Feedback)


def unsent(conn: Connection, *, limit: int = 500) -> tuple[Feedback, ...]:
    """What MLflow has not been told yet, oldest first."""
    query = (
        select(feedback.c.body).where(feedback.c.sent.is_(None)).order_by(feedback.c.time, feedback.c.id).limit(limit)
    )
    return tuple(unpack(body, Feedback) for body in conn.scalars(query))


def mark_sent(conn: Connection, items: Iterable[Feedback], now: float) -> None:
    """One that says something else since it was read stays unsent."""
    read = {f.id: f for f in items}
    ids = [f.id for f in _by_ids(conn, list(read)) if _same_word(f, read[f.id])]
    for start in range(0, len(ids), _CHUNK):
        conn.execute(update(feedback).where(feedback.c.id.in_(ids[start : start + _CHUNK])).values(sent=now))
