"""Dataset versions: which there are, which golden set is frozen, and whether MLflow lists them.

Called by flywheel/datasets.py (make, freeze), the admin API and the console. The rows are in files: dataset_files.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, insert, select, update

from headrace.store.tables import dataset, dataset_golden, pack, unpack
from headrace.types.dataset import DataFile, DatasetVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """The frozen rows of all versions of a name. `source`: the version that they were frozen from."""

    source: str
    file: DataFile
    frozen: float
    actor: str = ""


def add(conn: Connection, version: DatasetVersion) -> DatasetVersion:
    """With the next number of its name. A version that is there already is answered as it is."""
    known = get(conn, version.id)
    if known is not None:
        return known
    last = conn.scalar(select(func.max(dataset.c.number)).where(dataset.c.name == version.name)) or 0
    numbered = replace(version, number=last + 1)
    values = {"id": version.id, "name": version.name, "number": numbered.number, "created": version.created}
    conn.execute(insert(dataset).values(**values, listed=None, body=pack(numbered)))
    return numbered


def get(conn: Connection, version_id: str) -> DatasetVersion | None:
    body = conn.scalar(select(dataset.c.body).where(dataset.c.id == version_id))
    return unpack(body, DatasetVersion) if body else None


def numbered(conn: Connection, name: str, number: int) -> DatasetVersion | None:
    body = conn.scalar(select(dataset.c.body).where(dataset.c.name == name, dataset.c.number == number))
    return unpack(body, DatasetVersion) if body else None


def latest(conn: Connection, name: str) -> DatasetVersion | None:
    query = select(dataset.c.body).where(dataset.c.name == name).order_by(dataset.c.number.desc()).limit(1)
    body = conn.scalar(query)
    return unpack(body, DatasetVersion) if body else None


def begins(conn: Connection, start: str) -> Sequence[str]:
    """Ids that begin so; two are enough to know that it is not one."""
    query = select(dataset.c.id).where(dataset.c.id >= start, dataset.c.id < start + "~").limit(2)
    return list(conn.scalars(query))


def all(conn: Connection, name: str | None = None, *, limit: int = 200) -> tuple[DatasetVersion, ...]:  # noqa: A001
    """Newest first."""
    query = select(dataset.c.body).order_by(dataset.c.created.desc(), dataset.c.number.desc()).limit(limit)
    if name is not None:
        query = query.where(dataset.c.name == name)
    return tuple(unpack(body, DatasetVersion) for body in conn.scalars(query))


def names(conn: Connection) -> tuple[str, ...]:
    return tuple(conn.scalars(select(dataset.c.name).distinct().order_by(dataset.c.name)))


def golden(conn: Connection, name: str) -> Golden | None:
    body = conn.scalar(select(dataset_golden.c.body).where(dataset_golden.c.name == name))
    return unpack(body, Golden) if body else None


def freeze(conn: Connection, name: str, frozen: Golden) -> None:
    values = {"body": pack(frozen)}
    if not conn.execute(update(dataset_golden).where(dataset_golden.c.name == name).values(**values)).rowcount:
        conn.execute(insert(dataset_golden).values(name=name, **values))


def unlisted(conn: Connection, *, limit: int = 20) -> tuple[DatasetVersion, ...]:
    """What MLflow has not been told of yet, oldest first."""
    query = select(dataset.c.body).where(dataset.c.listed.is_(None)).order_by(dataset.c.created).limit(limit)
    return tuple(unpack(body, DatasetVersion) for body in conn.scalars(query))


def mark_listed(conn: Connection, version_id: str, now: float) -> None:
    conn.execute(update(dataset).where(dataset.c.id == version_id).values(listed=now))
