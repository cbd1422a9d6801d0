"""Numbered plans, and with them the endpoints: what the control plane decides and data planes follow.

`publish` is called in the same transaction as the decision that caused it, so that state and plan never disagree.
Data planes call `revision` (one indexed row) some twenty times a second, and `latest` when it has moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, func, insert, select

from headrace.store import endpoints as endpoint_rows
from headrace.store import gateway as gateway_rows
from headrace.store.tables import pack, plain, plan, unpack
from headrace.types.endpoint import Endpoint, Plan

KEEP = 500  # plans kept for the history; a data plane only ever needs the newest
_NEWEST = select(func.max(plan.c.revision))  # built once: a third of the cost of a poll


def publish(
    conn: Connection, endpoints: Sequence[Endpoint], *, reason: str, now: float, keys: tuple[str, ...] = ()
) -> Plan:
    """`endpoints` is the whole set: one that is missing is gone. Revisions have no gaps, because writers run alone."""
    number = revision(conn) + 1
    known = {e.name: e for e in endpoint_rows.all(conn)}
    stamped = tuple(_stamp(e, known.get(e.name), number) for e in endpoints)
    reason = plain(reason)
    configured = replace(gateway_rows.current(conn), endpoints=())
    made = Plan(revision=number, created=now, endpoints=stamped, keys=keys, reason=reason, gateway=configured)
    conn.execute(insert(plan).values(revision=number, created=now, reason=reason, body=pack(made)))
    conn.execute(delete(plan).where(plan.c.revision <= number - KEEP))
    endpoint_rows.replace_all(conn, stamped)
    return made


def _stamp(new: Endpoint, old: Endpoint | None, number: int) -> Endpoint:
    unchanged = old is not None and replace(new, revision=old.revision) == old
    return replace(new, revision=old.revision if old is not None and unchanged else number)


def revision(conn: Connection) -> int:
    """Of the newest plan; 0 when there is none."""
    return conn.scalar(_NEWEST) or 0


def latest(conn: Connection) -> Plan | None:
    body = conn.execute(select(plan.c.body).order_by(plan.c.revision.desc()).limit(1)).scalar_one_or_none()
    return unpack(body, Plan) if body else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """A plan in the history, without its body."""

    revision: int
    created: float
    reason: str


def history(conn: Connection, *, limit: int = 50) -> tuple[PlanLine, ...]:
    """Newest first."""
    rows = conn.execute(
        select(plan.c.revision, plan.c.created, plan.c.reason).order_by(plan.c.revision.desc()).limit(limit)
    )
    return tuple(PlanLine(revision=r.revision, created=r.created, reason=r.reason) for r in rows)
