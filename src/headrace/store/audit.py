"""Who did what to which thing, and when. Appended in the transaction of the deed, never changed."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from headrace.store.tables import audit, plain
from headrace.types.actor import AuditEntry


def append(conn: Connection, *, actor: str, action: str, subject: str, detail: str, now: float) -> None:
    words = {"actor": actor, "action": action, "subject": subject, "detail": detail}
    conn.execute(insert(audit).values(time=now, **{name: plain(text) for name, text in words.items()}))


def entries(conn: Connection, *, limit: int = 100, subject: str | None = None) -> tuple[AuditEntry, ...]:
    """Newest first."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(audit.c.subject == subject)
    return tuple(
        AuditEntry(id=r.id, time=r.time, actor=r.actor, action=r.action, subject=r.subject, detail=r.detail)
        for r in conn.execute(query)
    )
