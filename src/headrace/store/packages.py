"""Which packages were made from which model version; their files are in the artifact store."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from headrace.store.tables import pack, package, unpack
from headrace.types.model import Package


def put(conn: Connection, item: Package) -> None:
    """A package is its content: putting it again changes nothing."""
    if get(conn, item.id) is None:
        row = {"id": item.id, "model": item.model, "version": item.version, "created": item.created}
        conn.execute(insert(package).values(**row, body=pack(item)))


def get(conn: Connection, package_id: str) -> Package | None:
    body = conn.scalar(select(package.c.body).where(package.c.id == package_id))
    return unpack(body, Package) if body else None


def for_version(conn: Connection, model: str, version: int) -> Package | None:
    """The newest one."""
    query = (
        select(package.c.body)
        .where(package.c.model == model, package.c.version == version)
        .order_by(package.c.created.desc())
        .limit(1)
    )
    body = conn.scalar(query)
    return unpack(body, Package) if body else None


def of_model(conn: Connection, model: str) -> tuple[Package, ...]:
    """All of them, the oldest first."""
    query = select(package.c.body).where(package.c.model == model).order_by(package.c.created)
    return tuple(unpack(body, Package) for body in conn.scalars(query))
