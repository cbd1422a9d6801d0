"""What must be told to another system and could not be yet; written in the transaction of the deed, retried in order.

Called by the release engine for moves in the MLflow registry, which may be down while traffic is decided.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from headrace.store.tables import outbox, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """`body` is JSON that the kind defines. `error`: why the last of `attempts` failed."""

    id: int
    kind: str
    created: float
    attempts: int
    error: str
    body: str


def add(conn: Connection, *, kind: str, body: str, now: float) -> None:
    conn.execute(insert(outbox).values(kind=kind, created=now, attempts=0, error="", body=body))


def pending(conn: Connection, *, limit: int = 50) -> tuple[Parcel, ...]:
    """Oldest first."""
    rows = conn.execute(select(outbox).order_by(outbox.c.id).limit(limit)).mappings()
    return tuple(Parcel(**row) for row in rows)


def done(conn: Connection, parcel_id: int) -> None:
    conn.execute(delete(outbox).where(outbox.c.id == parcel_id))


def failed(conn: Connection, parcel_id: int, error: str) -> None:
    here = outbox.c.id == parcel_id
    conn.execute(update(outbox).where(here).values(attempts=outbox.c.attempts + 1, error=plain(error[:1000])))
