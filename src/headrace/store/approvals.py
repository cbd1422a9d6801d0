"""What waits for a second person, and what became of it.

Called by the release engine; read by the admin API and the console. One pending request for the same deed at most:
writers run alone, and the engine looks before it asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from sqlalchemy import Connection, insert, select, update

from headrace.store.tables import approval, pack, unpack
from headrace.types.approval import Approval, ApprovalState, Deed


def put(conn: Connection, item: Approval) -> None:
    values = {"state": item.state.value, "created": item.created, "deed": key_of(item.deed), "body": pack(item)}
    if not conn.execute(update(approval).where(approval.c.id == item.id).values(**values)).rowcount:
        conn.execute(insert(approval).values(id=item.id, **values))


def get(conn: Connection, approval_id: str) -> Approval | None:
    body = conn.scalar(select(approval.c.body).where(approval.c.id == approval_id))
    return unpack(body, Approval) if body else None


def of_deed(conn: Connection, deed: Deed, states: Iterable[ApprovalState]) -> tuple[Approval, ...]:
    """Newest first."""
    query = select(approval.c.body).where(
        approval.c.deed == key_of(deed), approval.c.state.in_([state.value for state in states])
    )
    return tuple(unpack(body, Approval) for body in conn.scalars(query.order_by(approval.c.created.desc())))


def recent(conn: Connection, *, state: ApprovalState | None = None, limit: int = 50) -> tuple[Approval, ...]:
    """Newest first."""
    query = select(approval.c.body).order_by(approval.c.created.desc()).limit(limit)
    if state is not None:
        query = query.where(approval.c.state == state.value)
    return tuple(unpack(body, Approval) for body in conn.scalars(query))


def key_of(deed: Deed) -> str:
    """The same for the same deed, however its arguments were ordered."""
    return sha256(msgspec.json.encode(deed, order="deterministic")).hexdigest()
