"""How far each consumer has read the journal; moved in the transaction that keeps what was read."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from headrace.store.tables import cursor, pack, unpack
from headrace.types.journal import Position


def get(conn: Connection, consumer: str) -> Position | None:
    """None: this consumer has never read."""
    body = conn.scalar(select(cursor.c.body).where(cursor.c.consumer == consumer))
    return unpack(body, Position) if body else None


def all(conn: Connection) -> dict[str, Position]:  # noqa: A001 - read as cursors.all(conn)
    return {row.consumer: unpack(row.body, Position) for row in conn.execute(select(cursor))}


def put(conn: Connection, consumer: str, position: Position) -> None:
    body = pack(position)
    if not conn.execute(update(cursor).where(cursor.c.consumer == consumer).values(body=body)).rowcount:
        conn.execute(insert(cursor).values(consumer=consumer, body=body))


def remove(conn: Connection, consumer: str) -> None:
    """It will never read again, so nothing is kept for it."""
    conn.execute(delete(cursor).where(cursor.c.consumer == consumer))
