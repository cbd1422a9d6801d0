"""Live versions that data planes have ejected, until that is lasting or over. One row per endpoint and plane.

Called by the release room (failover.py) alone, in the transactions that move its cursor.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from headrace.store.tables import ejection, pack, unpack
from headrace.types.failover import Ejection


def all(conn: Connection) -> tuple[Ejection, ...]:  # noqa: A001 - read as ejections.all(conn)
    query = select(ejection.c.body).order_by(ejection.c.endpoint, ejection.c.plane)
    return tuple(unpack(body, Ejection) for body in conn.scalars(query))


def get(conn: Connection, endpoint: str, plane: str) -> Ejection | None:
    here = (ejection.c.endpoint == endpoint) & (ejection.c.plane == plane)
    body = conn.scalar(select(ejection.c.body).where(here))
    return unpack(body, Ejection) if body else None


def put(conn: Connection, item: Ejection) -> None:
    here = (ejection.c.endpoint == item.endpoint) & (ejection.c.plane == item.plane)
    if not conn.execute(update(ejection).where(here).values(body=pack(item))).rowcount:
        conn.execute(insert(ejection).values(endpoint=item.endpoint, plane=item.plane, body=pack(item)))


def forget(conn: Connection, endpoint: str) -> None:
    conn.execute(delete(ejection).where(ejection.c.endpoint == endpoint))
