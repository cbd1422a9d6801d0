"""Brings a database to this version's tables; safe when several processes start at once.

Called by the control plane at its start. Alembic is imported here and nowhere else: a data plane does not need it.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from headrace.store.db import Database

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x6865616472  # PostgreSQL advisory lock


def migrate(database: Database) -> None:
    """Raises Unavailable when the database cannot be reached."""
    with _alone(database), database.write() as conn:
        if not database.is_sqlite:
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        command.upgrade(_config(conn), "head")


def _config(conn: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = conn
    return config


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Between processes; SQLite would let the second one fail on a table that the first has just made."""
    path = database.url.database
    if not database.is_sqlite or not path or path == ":memory:":
        yield
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{path}.migrate").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
