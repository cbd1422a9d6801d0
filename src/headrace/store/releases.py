"""Releases, the intervals they were judged on, and the units already counted.

Called by the release engine (writes) and the console and admin API (reads). That an endpoint has at most one active
release is a partial unique index, so that two operators, or two control planes, cannot start two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from headrace.store.tables import pack, release, release_counted, release_interval, unpack
from headrace.types.errors import Conflict
from headrace.types.release import Interval, Judgement, Release


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInterval:
    """What was seen, and what was made of it. `evalues`: metric → natural logarithm of its e-value of harm."""

    interval: Interval
    evalues: dict[str, float]
    judgement: Judgement


def put(conn: Connection, item: Release) -> None:
    """Insert or update. Raises Conflict when one of its endpoints has another active release."""
    for member in () if item.phase.ended else item.members:
        running = active_for(conn, member.endpoint)
        if running is not None and running.id != item.id:
            raise _conflict(running, member.endpoint)
    values = {"endpoint": item.endpoint, "active": not item.phase.ended, "created": item.created, "body": pack(item)}
    try:
        with conn.begin_nested():  # so that PostgreSQL still answers who it is
            changed = conn.execute(update(release).where(release.c.id == item.id).values(**values)).rowcount
            if not changed:
                conn.execute(insert(release).values(id=item.id, **values))
    except IntegrityError as error:  # someone wrote without waiting for its turn as Database.write does
        running = active_for(conn, item.endpoint)
        if running is None:
            raise
        raise _conflict(running, item.endpoint) from error


def _conflict(running: Release, endpoint: str) -> Conflict:
    return Conflict(
        f"release {running.id} of {running.candidate!r} is {running.phase.value} on endpoint {endpoint!r}",
        field="endpoint",
        hint=f"wait for it, or end it with: headrace release abort {endpoint}",
    )


def get(conn: Connection, release_id: str) -> Release | None:
    body = conn.scalar(select(release.c.body).where(release.c.id == release_id))
    return unpack(body, Release) if body else None


def active(conn: Connection) -> tuple[Release, ...]:
    """Oldest first."""
    query = select(release.c.body).where(release.c.active).order_by(release.c.created)
    return tuple(unpack(body, Release) for body in conn.scalars(query))


def active_for(conn: Connection, endpoint: str) -> Release | None:
    """The one that moves it, also as one of several endpoints."""
    return next((r for r in active(conn) if any(m.endpoint == endpoint for m in r.members)), None)


def recent(conn: Connection, *, limit: int = 50, endpoint: str | None = None) -> tuple[Release, ...]:
    """Newest first."""
    query = select(release.c.body).order_by(release.c.created.desc()).limit(limit)
    if endpoint is not None:
        query = query.where(release.c.endpoint == endpoint)
    return tuple(unpack(body, Release) for body in conn.scalars(query))


def add_interval(
    conn: Connection, release_id: str, *, interval: Interval, evalues: dict[str, float], judgement: Judgement
) -> None:
    here = release_interval.c.release == release_id
    number = conn.scalar(select(func.coalesce(func.max(release_interval.c.number), 0)).where(here)) or 0
    stored = StoredInterval(interval=interval, evalues=evalues, judgement=judgement)
    conn.execute(insert(release_interval).values(release=release_id, number=number + 1, body=pack(stored)))


def intervals(conn: Connection, release_id: str, *, limit: int | None = None) -> tuple[StoredInterval, ...]:
    """In order of time; with a limit, the newest ones (a release of one day has 172,800 at two ticks a second)."""
    query = (
        select(release_interval.c.body)
        .where(release_interval.c.release == release_id)
        .order_by(release_interval.c.number.desc())
        .limit(limit)
    )
    return tuple(unpack(body, StoredInterval) for body in reversed(conn.scalars(query).all()))


def intervals_after(
    conn: Connection, release_id: str, number: int, *, limit: int
) -> tuple[tuple[int, StoredInterval], ...]:
    """With their numbers, which run from 1, in order of time."""
    query = (
        select(release_interval.c.number, release_interval.c.body)
        .where(release_interval.c.release == release_id, release_interval.c.number > number)
        .order_by(release_interval.c.number)
        .limit(limit)
    )
    return tuple((row.number, unpack(row.body, StoredInterval)) for row in conn.execute(query))


def counted(conn: Connection, release_id: str) -> dict[str, set[str]]:
    """Units whose event has been counted, by `scope/metric`."""
    found: dict[str, set[str]] = {}
    query = select(release_counted.c.scope, release_counted.c.unit).where(release_counted.c.release == release_id)
    for row in conn.execute(query):
        found.setdefault(row.scope, set()).add(row.unit)
    return found


def count(conn: Connection, release_id: str, *, scope: str, metric: str, units: Iterable[str]) -> None:
    """Remember that their event has been counted in this scope and metric; again is no harm."""
    many = msgspec.json.encode(sorted(set(units))).decode()
    conn.execute(_COUNT[conn.dialect.name], {"release": release_id, "scope": f"{scope}/{metric}", "units": many})


# One statement for all units: a tick may count thousands, and a driver would send them to PostgreSQL one by one.
_COUNT = {
    "sqlite": text(
        "INSERT OR IGNORE INTO release_counted (release, scope, unit)"
        " SELECT :release, :scope, value FROM json_each(:units)"
    ),
    "postgresql": text(
        "INSERT INTO release_counted (release, scope, unit)"
        " SELECT :release, :scope, value FROM json_array_elements_text(CAST(:units AS json))"
        " ON CONFLICT DO NOTHING"
    ),
}


def forget_counted(conn: Connection, release_id: str) -> None:
    """Once a release has ended nobody asks who was counted."""
    conn.execute(delete(release_counted).where(release_counted.c.release == release_id))
