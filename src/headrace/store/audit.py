"""Who did what to which thing, when, why, and on what evidence. Appended in the transaction of the deed.

Called by the release engine and whoever else changes something (append), by the admin API, the console and the
webhooks (search). Nothing here changes or removes an entry, and the database refuses it. Each entry is sealed with the
one before it: writers run alone, so the newest is the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, insert, select

from headrace.store.tables import audit, pack, plain, unpack
from headrace.types.history import About, AuditEntry, Chain, Wanted

PAGE = 1_000
SOUGHT = ("endpoint", "model", "release")  # have a column of their own
SPOKEN = (*SOUGHT, "reason", "was", "now")  # may come from a person


def append(
    conn: Connection, *, actor: str, action: str, subject: str, detail: str, now: float, about: About | None = None
) -> None:
    told = {"actor": actor, "action": action, "subject": subject, "detail": detail}
    words = {name: plain(text) for name, text in told.items()}
    known = _placed(about or About(), words["subject"])
    clean: dict[str, Any] = {name: plain(getattr(known, name)) for name in SPOKEN}
    known = replace(known, **clean)
    sought = {name: getattr(known, name) for name in SOUGHT}
    values = {"time": now, **words, **sought, "body": pack(known)}
    newest = conn.scalar(select(audit.c.sha256).order_by(audit.c.id.desc()).limit(1)) or ""
    conn.execute(insert(audit).values(**values, sha256=seal(newest, values)))


def entries(conn: Connection, *, limit: int = 100, subject: str | None = None) -> tuple[AuditEntry, ...]:
    """Newest first."""
    return search(conn, Wanted(subject=subject or ""), limit=limit)


def search(conn: Connection, wanted: Wanted, *, limit: int = 100, oldest_first: bool = False) -> tuple[AuditEntry, ...]:
    order = audit.c.id if oldest_first else audit.c.id.desc()
    return tuple(_entry(row) for row in conn.execute(_narrowed(select(audit), wanted).order_by(order).limit(limit)))


def get(conn: Connection, entry_id: int) -> AuditEntry | None:
    row = conn.execute(select(audit).where(audit.c.id == entry_id)).one_or_none()
    return _entry(row) if row is not None else None


def newest_id(conn: Connection) -> int:
    """0 when nothing has been done yet."""
    return conn.scalar(select(audit.c.id).order_by(audit.c.id.desc()).limit(1)) or 0


def actors(conn: Connection) -> tuple[str, ...]:
    return tuple(conn.scalars(select(audit.c.actor).distinct().order_by(audit.c.actor)))


def check(conn: Connection) -> Chain:
    """Reads all of it. An entry that was changed, or one before it taken out or put in, breaks the chain there."""
    before, count = "", 0
    for row in _all(conn):
        if row.sha256 != seal(before, row._asdict()):
            return Chain(entries=count, broken=row.id, head=before)
        before, count = row.sha256, count + 1
    return Chain(entries=count, broken=0, head=before)


def seal(before: str, values: Mapping[str, Any]) -> str:
    """Of an entry, from the seal of the one before it. The id is not in it: the database gives it."""
    told = [values[name] for name in ("actor", "action", "subject", "detail", *SOUGHT, "body")]
    return sha256(msgspec.json.encode([before, float(values["time"]).hex(), *told])).hexdigest()


def _placed(about: About, subject: str) -> About:
    """An entry about an endpoint or a model is found by its name, also when its writer did not say so again."""
    kind, _, name = subject.partition(":")
    if kind == "endpoint" and not about.endpoint:
        return replace(about, endpoint=name)
    if kind == "model" and not about.model:
        return replace(about, model=name.rpartition("/")[0] or name)
    if kind == "release" and not about.release:
        return replace(about, release=name)
    return about


def _narrowed(query: Select[Any], wanted: Wanted) -> Select[Any]:
    for name in ("endpoint", "model", "release", "actor", "subject"):
        if value := getattr(wanted, name):
            query = query.where(audit.c[name] == value)
    if wanted.action.endswith("*"):
        query = query.where(audit.c.action.startswith(wanted.action[:-1], autoescape=True))
    elif wanted.action:
        query = query.where(audit.c.action == wanted.action)
    for bound, condition in (
        (wanted.since, audit.c.time >= wanted.since),
        (wanted.until, audit.c.time < wanted.until),
        (wanted.before, audit.c.id < wanted.before),
        (wanted.after, audit.c.id > wanted.after),
    ):
        if bound:
            query = query.where(condition)
    return query


def _all(conn: Connection) -> Iterator[Row[Any]]:
    """Oldest first, a page at a time."""
    last = 0
    while rows := conn.execute(select(audit).where(audit.c.id > last).order_by(audit.c.id).limit(PAGE)).all():
        yield from rows
        last = rows[-1].id


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        time=row.time,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        detail=row.detail,
        about=unpack(row.body, About),
        sha256=row.sha256,
    )
