"""Jobs of the API, and how far they are.

Called by batch.jobs (submit, cancel, start) and by the process of a job (progress, end); both change the same row, each
in a transaction that has read what the other wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, insert, select, update

from headrace.store.tables import job, pack, unpack
from headrace.types.errors import NotFound
from headrace.types.job import Job


def add(conn: Connection, item: Job) -> None:
    conn.execute(insert(job).values(id=item.id, **_row(item)))


def change(conn: Connection, job_id: str, how: Callable[[Job], Job]) -> Job:
    """In a transaction of Database.write. Raises NotFound."""
    changed = how(get(conn, job_id))
    conn.execute(update(job).where(job.c.id == job_id).values(**_row(changed)))
    return changed


def get(conn: Connection, job_id: str) -> Job:
    body = conn.scalar(select(job.c.body).where(job.c.id == job_id))
    if body is None:
        raise NotFound(f"there is no job {job_id!r}", field="job", hint="headrace jobs")
    return unpack(body, Job)


def recent(conn: Connection, *, limit: int = 50) -> tuple[Job, ...]:
    """Newest first."""
    query = select(job.c.body).order_by(job.c.created.desc(), job.c.id).limit(limit)
    return tuple(unpack(body, Job) for body in conn.scalars(query))


def unended(conn: Connection) -> tuple[Job, ...]:
    """Oldest first."""
    query = select(job.c.body).where(job.c.active).order_by(job.c.created, job.c.id)
    return tuple(unpack(body, Job) for body in conn.scalars(query))


def _row(item: Job) -> dict[str, Any]:
    return {"created": item.created, "active": not item.state.ended, "body": pack(item)}
