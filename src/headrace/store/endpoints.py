"""Endpoints as they are in the newest plan. Written by `plans.publish` alone."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from headrace.store.tables import endpoint, pack, unpack
from headrace.types.endpoint import Endpoint


def all(conn: Connection) -> tuple[Endpoint, ...]:  # noqa: A001 - read as endpoints.all(conn)
    """By name."""
    return tuple(unpack(body, Endpoint) for body in conn.scalars(select(endpoint.c.body).order_by(endpoint.c.name)))


def get(conn: Connection, name: str) -> Endpoint | None:
    body = conn.scalar(select(endpoint.c.body).where(endpoint.c.name == name))
    return unpack(body, Endpoint) if body else None


def replace_all(conn: Connection, endpoints: Sequence[Endpoint]) -> None:
    """Called by `plans.publish`."""
    conn.execute(delete(endpoint))
    if endpoints:
        conn.execute(insert(endpoint), [{"name": e.name, "body": pack(e)} for e in endpoints])
