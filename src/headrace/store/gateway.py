"""The gateway's configuration, one row a version: providers, keys, limits, prices, sealed secrets.

Called by the control plane. `publish` of a plan takes the newest one along, so that a data plane has one revision to
look at. Going back is a new version with an old body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from headrace.store.tables import gateway, pack, plain, unpack
from headrace.types.gateway import Gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A configuration in the history."""

    number: int
    created: float
    actor: str
    reason: str
    body: Gateway


def current(conn: Connection) -> Gateway:
    body = conn.execute(select(gateway.c.body).order_by(gateway.c.number.desc()).limit(1)).scalar_one_or_none()
    return unpack(body, Gateway) if body else Gateway()


def number(conn: Connection) -> int:
    """Of the newest version; 0 when there is none."""
    return conn.scalar(select(func.max(gateway.c.number))) or 0


def put(conn: Connection, made: Gateway, *, actor: str, reason: str, now: float) -> int:
    new = number(conn) + 1
    conn.execute(insert(gateway).values(number=new, created=now, actor=actor, reason=plain(reason), body=pack(made)))
    return new


def version(conn: Connection, wanted: int) -> Version | None:
    row = conn.execute(select(gateway).where(gateway.c.number == wanted)).one_or_none()
    return None if row is None else _version(row)


def history(conn: Connection, *, limit: int = 50) -> tuple[Version, ...]:
    """Newest first."""
    return tuple(_version(row) for row in conn.execute(select(gateway).order_by(gateway.c.number.desc()).limit(limit)))


def _version(row: Row[Any]) -> Version:
    return Version(
        number=row.number,
        created=row.created,
        actor=row.actor,
        reason=row.reason,
        body=unpack(row.body, Gateway),
    )
