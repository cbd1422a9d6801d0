"""The metadata database: one engine, two kinds of transaction, one place where its failures become our errors.

Called by the data plane (to read the plan) and the control plane (everything). SQLite by default, PostgreSQL by URL.
Decides how transactions begin: on SQLite a write takes the lock at once (BEGIN IMMEDIATE), so that concurrent writers
queue for up to `BUSY_SECONDS` instead of failing half-way; a commit is on disk before it returns (synchronous=FULL).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, OperationalError

from headrace.types.errors import Unavailable

BUSY_SECONDS = 20
_WRITE = "headrace_write"


class Database:
    """Thread-safe. `with database.write() as conn:` is one transaction: it commits at the end, or leaves no trace."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+pg8000")
        self.url = parsed
        self.engine = (
            _sqlite(parsed.render_as_string()) if self.is_sqlite else _postgres(parsed.render_as_string(False))
        )

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._transaction(write=True) as conn:
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view of one moment."""
        with self._transaction(write=False) as conn:
            yield conn

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Connection]:
        try:
            with self.engine.connect() as plain:
                conn = plain.execution_options(**{_WRITE: write})
                with conn.begin():
                    yield conn
        except (OperationalError, InterfaceError) as error:
            place = self.url.render_as_string(hide_password=True)
            raise Unavailable(
                f"the database {place} does not answer: {error.orig}",
                hint="check that it runs, that its disk has room, and database_url",
                retry_after=1.0,
            ) from error

    def close(self) -> None:
        self.engine.dispose()


def _postgres(url: str) -> Engine:
    return create_engine(url, pool_size=5, max_overflow=10, pool_pre_ping=True, isolation_level="REPEATABLE READ")


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, below
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_SECONDS * 1000}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        write = conn.get_execution_options().get(_WRITE, True)
        conn.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
