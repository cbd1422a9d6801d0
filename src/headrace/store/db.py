"""The metadata database: one engine, two kinds of transaction, one place where its failures become our errors.

Called by the data plane (to read the plan) and the control plane (everything). SQLite by default, PostgreSQL by URL.
Decides how transactions begin, alike on both: writers queue for up to `WAIT_SECONDS` and then run alone, so that what
one reads stays true until it commits; readers see one moment and wait for nobody. A commit returns when it is on disk.
Ignores tables: `migrate` makes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from headrace.base.settings import SettingsError
from headrace.store.failures import explain
from headrace.types.errors import Unavailable

__all__ = ["Connection", "Database"]  # rooms above name the type of what a repository takes from here

WAIT_SECONDS = 20.0
PATIENCE_SECONDS = 3 * WAIT_SECONDS
_POOL = {"pool_size": 5, "max_overflow": 10, "pool_timeout": WAIT_SECONDS}
_WRITE = "headrace_write"
_WRITERS = 0x6865616472616365  # PostgreSQL's advisory lock that a writer holds
_SCHEMES = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+pg8000", "postgresql+psycopg")
_ALLOWED = "sqlite:///path/to/file.db, postgresql://user:password@host:port/name"


class Database:
    """Thread-safe. `with database.write() as conn:` is one transaction: it commits at the end, or leaves no trace."""

    def __init__(self, url: str, *, patience: float = PATIENCE_SECONDS) -> None:
        """Raises SettingsError when the URL is not for one of our databases; connects on first use. `patience`: with a
        server that takes a connection and says nothing."""
        self.url = _parse(url)
        self.engine = _sqlite(self.url) if self.is_sqlite else _postgres(self.url, patience)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def place(self) -> str:
        """The URL without its password."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Alone among writers, of all processes. Never open a second one inside: it would wait for the first."""
        with self._transaction(write=True) as conn:
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view of one moment; it cannot write."""
        with self._transaction(write=False) as conn:
            yield conn

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Connection]:
        try:
            with self.engine.connect().execution_options(**{_WRITE: write}) as conn, conn.begin():
                yield conn
        except DBAPIError as error:
            unavailable = explain(error, self.place)
            if unavailable is None:
                raise
            raise unavailable from error
        except (TimeoutError, ConnectionError) as error:  # of the driver's socket, which it does not call its own
            raise Unavailable(
                f"the database {self.place} does not answer: {error or type(error).__name__}",
                hint="check that it runs and can be reached, and database_url",
                retry_after=1.0,
            ) from error
        except PoolTimeout as error:
            raise Unavailable(
                f"no connection to the database {self.place} became free within {WAIT_SECONDS:.0f} s",
                hint="try again",
                retry_after=1.0,
            ) from error

    def close(self) -> None:
        self.engine.dispose()


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        scheme, separator, _ = url.partition("://")  # the rest may hold a password
        what = f"of scheme {scheme!r} and cannot be read" if separator else "not a URL"
        raise SettingsError(f"database_url is {what}; allowed: {_ALLOWED}") from None
    if parsed.drivername == "postgres":
        parsed = parsed.set(drivername="postgresql")
    if parsed.drivername not in _SCHEMES:
        raise SettingsError(f"database_url is of scheme {parsed.drivername!r}; allowed: {_ALLOWED}")
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+pg8000")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SettingsError(f"database_url is {url!r}, in memory, where other processes cannot see it; name a file")
    return parsed


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": WAIT_SECONDS, "check_same_thread": False}, **_POOL)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `begin` below does
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        # IMMEDIATE, because a writer that starts as a reader fails at once, without waiting, when another was faster.
        write = conn.get_execution_options().get(_WRITE, True)
        driver: Any = conn.connection.driver_connection  # past SQLAlchemy, which would double the cost of a poll
        driver.execute(f"PRAGMA query_only={'OFF' if write else 'ON'}")
        conn.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _postgres(url: URL, patience: float) -> Engine:
    # A host that swallows packets must not hold a thread for ever. pg8000 knows one limit for each read and write.
    limit = {"timeout": patience} if url.get_driver_name() == "pg8000" else {"connect_timeout": min(10, patience)}
    try:
        engine = create_engine(url, connect_args=limit, pool_pre_ping=True, **_POOL)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"database_url needs {error.name!r}, which is not installed: pip install 'headrace[postgres]'"
        ) from error

    @event.listens_for(engine, "handle_error")
    def lost(context: ExceptionContext) -> None:
        """An answer that comes late would be taken for that of the next statement: the connection is not used again."""
        if isinstance(context.original_exception, TimeoutError | ConnectionError):
            context.is_disconnect = True

    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        if not conn.get_execution_options().get(_WRITE, True):
            conn.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return
        # READ COMMITTED, because a snapshot would be older than the lock that was waited for.
        conn.exec_driver_sql(
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;"
            f"SET LOCAL lock_timeout = {int(WAIT_SECONDS * 1000)};"
            f"SELECT pg_advisory_xact_lock({_WRITERS})"
        )

    return engine
