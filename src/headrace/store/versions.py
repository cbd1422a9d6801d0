"""The registry as it was when it was last read, so that nothing waits for MLflow."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from headrace.store.tables import model_version, pack, unpack
from headrace.types.model import ModelVersion


def put(conn: Connection, item: ModelVersion) -> None:
    here = (model_version.c.name == item.name) & (model_version.c.version == item.version)
    if not conn.execute(update(model_version).where(here).values(body=pack(item))).rowcount:
        conn.execute(insert(model_version).values(name=item.name, version=item.version, body=pack(item)))


def remove(conn: Connection, name: str, version: int) -> None:
    """It was deleted in the registry."""
    conn.execute(delete(model_version).where(model_version.c.name == name, model_version.c.version == version))


def get(conn: Connection, name: str, version: int) -> ModelVersion | None:
    query = select(model_version.c.body).where(model_version.c.name == name, model_version.c.version == version)
    body = conn.scalar(query)
    return unpack(body, ModelVersion) if body else None


def all(conn: Connection, name: str | None = None) -> tuple[ModelVersion, ...]:  # noqa: A001 - versions.all(conn)
    """By name and version."""
    query = select(model_version.c.body).order_by(model_version.c.name, model_version.c.version)
    if name is not None:
        query = query.where(model_version.c.name == name)
    return tuple(unpack(body, ModelVersion) for body in conn.scalars(query))


def names(conn: Connection) -> tuple[str, ...]:
    return tuple(conn.scalars(select(model_version.c.name).distinct().order_by(model_version.c.name)))
