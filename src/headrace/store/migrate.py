"""Brings a database to this version's tables; safe when several processes start at once.

Called by the control plane at its start. Alembic is imported here and nowhere else: a data plane does not need it.
All of it is one transaction, so that a process killed in the middle leaves the tables as they were.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from headrace.store.db import Database
from headrace.types.errors import Unavailable

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> None:
    """Raises Unavailable when the database cannot be reached, or was made by a newer Headrace."""
    with _alone(database), database.write() as conn:
        try:
            command.upgrade(_config(conn), "head")
        except CommandError as error:
            raise Unavailable(
                f"the tables of the database {database.place} are not of this version: {error}",
                hint="a newer Headrace made them: install that one, or name another database in database_url",
            ) from error


def _config(conn: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = conn
    return config


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """A lock beside SQLite's file: its change to WAL waits for nobody. On PostgreSQL every writer is alone anyway."""
    path = database.url.database
    if not database.is_sqlite or not path:
        yield
        return
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        lock = Path(f"{path}.migrate").open("w")  # noqa: SIM115 - closed below; what fails inside is not ours to catch
    except OSError as error:
        raise Unavailable(
            f"the folder of the database {database.place} cannot be written: {error.strerror}",
            hint="check its rights, its disk, and database_url",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
