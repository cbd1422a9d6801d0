"""Turns of the flywheel, and how far they are.

Called by flywheel.turns (start, cancel) and by the process of a turn (its steps); both change the same row, each in a
transaction that has read what the other wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, insert, select, update

from headrace.store.tables import pack, turn, unpack
from headrace.types.errors import NotFound
from headrace.types.turn import Turn


def add(conn: Connection, item: Turn) -> None:
    conn.execute(insert(turn).values(id=item.id, **_row(item)))


def change(conn: Connection, turn_id: str, how: Callable[[Turn], Turn]) -> Turn:
    """In a transaction of Database.write. Raises NotFound."""
    changed = how(get(conn, turn_id))
    conn.execute(update(turn).where(turn.c.id == turn_id).values(**_row(changed)))
    return changed


def get(conn: Connection, turn_id: str) -> Turn:
    body = conn.scalar(select(turn.c.body).where(turn.c.id == turn_id))
    if body is None:
        raise NotFound(f"there is no turn {turn_id!r}", field="turn", hint="headrace turn list")
    return unpack(body, Turn)


def recent(conn: Connection, *, endpoint: str | None = None, limit: int = 50) -> tuple[Turn, ...]:
    """Newest first."""
    query = select(turn.c.body).order_by(turn.c.created.desc(), turn.c.id).limit(limit)
    if endpoint is not None:
        query = query.where(turn.c.endpoint == endpoint)
    return tuple(unpack(body, Turn) for body in conn.scalars(query))


def unended(conn: Connection) -> tuple[Turn, ...]:
    """Oldest first."""
    query = select(turn.c.body).where(turn.c.active).order_by(turn.c.created, turn.c.id)
    return tuple(unpack(body, Turn) for body in conn.scalars(query))


def _row(item: Turn) -> dict[str, Any]:
    return {
        "endpoint": item.endpoint,
        "created": item.created,
        "active": not item.state.ended,
        "body": pack(item),
    }
