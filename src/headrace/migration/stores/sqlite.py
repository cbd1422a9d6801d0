"""SQLite: `sqlite:////var/lib/app/features.db?table=features`, three slashes for a path from here.

Made by base.open_store. Decides that a commit is on disk before a write is answered (`synchronous=full`; with
`?synchronous=normal` it survives a killed process, not a power cut), and that writers wait for each other.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import unquote

from headrace.migration.stores.base import Place
from headrace.migration.stores.pool import Pool
from headrace.migration.stores.sql import Answer, SqlStore, floor_of
from headrace.migration.stores.statements import Dialect
from headrace.migration.values import json_text
from headrace.types.errors import BadInput, UpstreamError
from headrace.types.migration import Key, Kind, Layout, Role, Row, Values, Written

OPTIONS = ("table", "synchronous")
WAIT_SECONDS = 20.0  # for another writer
_TURNS: dict[Path, Lock] = {}  # by file, for the threads of this process
_NOW = "((julianday('now') - 2440587.5) * 86400.0)"
_DIALECT = Dialect(
    types={
        Kind.TEXT: "TEXT",
        Kind.INT: "INTEGER",
        Kind.FLOAT: "REAL",
        Kind.BOOL: "INTEGER",
        Kind.BYTES: "BLOB",
        Kind.JSON: "TEXT",
        Kind.TIME: "TEXT",
    },
    now=_NOW,
    wanted="SELECT value AS key FROM json_each(:keys)",
)


class SqliteStore(SqlStore):
    def __init__(self, place: Place, *, path: Path, synchronous: str, name: str, layout: Layout) -> None:
        super().__init__(place.shown, table=place.option("table"), name=name, layout=layout, dialect=_DIALECT)
        self._path = path
        # SQLite makes a writer that finds another one sleep for whole milliseconds; a lock wakes it at once. Those of
        # other processes it still has to sleep for.
        self._turn = _TURNS.setdefault(path.absolute(), Lock())
        self._pool = Pool(lambda: self._connect(synchronous), trouble=(sqlite3.Error,))
        # What is settled may be forgotten by a power cut: it is carried once more. So nobody waits for the disk there.
        self._lazy = Pool(lambda: self._connect("off" if synchronous == "off" else "normal"), trouble=(sqlite3.Error,))
        n, columns = self._sql.names, ", ".join(self._sql.names.columns)
        fields = ", ".join(f":f{i}" for i in range(len(n.columns)))
        self._put = (
            f"INSERT INTO {n.table} ({n.key}, {columns}) VALUES (:key, {fields}) "
            f"ON CONFLICT ({n.key}) DO UPDATE SET {self._sql.set}"
        )
        self._delete = f"DELETE FROM {n.table} WHERE {n.key} = :key"
        self._count_up = (
            f"INSERT INTO {n.moved} (key, version, since) VALUES (:key, :floor + 1, CASE WHEN :dual THEN {_NOW} END) "
            "ON CONFLICT (key) DO UPDATE SET version = MAX(version + 1, excluded.version), "
            "since = CASE WHEN :dual THEN COALESCE(since, excluded.since) END RETURNING version"
        )
        self._take = (
            f"INSERT INTO {n.moved} (key, version) VALUES (:key, :version) ON CONFLICT (key) DO UPDATE "
            "SET version = excluded.version WHERE excluded.version >= version RETURNING version"
        )
        self._settled = f"UPDATE {n.moved} SET since = NULL WHERE key = :key AND version = :version"

    def prepare(self, role: Role) -> None:
        made = (self._sql.make_table,) if role is Role.FOLLOWER else ()
        with self._transaction() as conn:
            for statement in (*made, self._sql.fits, *self._sql.make):
                conn.execute(statement)
            conn.execute(self._sql.first_role, {"name": self._migration, "role": role.value})

    def write(self, key: Key, values: Values | None) -> Written | None:
        with self._transaction() as conn:
            standing = self._standing(_first(conn.execute(self._sql.role, {"name": self._migration})))
            if standing.role is not Role.TRUTH:
                return None
            given = {"key": key, "dual": standing.dual, "floor": floor_of(standing)}
            version = conn.execute(self._count_up, given).fetchall()[0][0]
            self._set(conn, key, values)
        return Written(version=version, dual=standing.dual)

    def follow(self, rows: Sequence[Row]) -> int:
        taken = 0
        with self._transaction() as conn:
            for row in rows:
                if conn.execute(self._take, {"key": row.key, "version": row.version}).fetchall():
                    self._set(conn, row.key, row.values)
                    taken += 1
        return taken

    def settle(self, rows: Sequence[Row]) -> None:
        with self._transaction(self._lazy) as conn:
            conn.executemany(self._settled, [{"key": row.key, "version": row.version} for row in rows])

    def close(self) -> None:
        self._pool.close()
        self._lazy.close()

    def _set(self, conn: sqlite3.Connection, key: Key, values: Values | None) -> None:
        if values is None:
            conn.execute(self._delete, {"key": key})
            return
        given: dict[str, Any] = {f"f{i}": _stored(f.kind, values[f.name]) for i, f in enumerate(self._layout.fields)}
        conn.execute(self._put, given | {"key": key})

    def _run(self, statement: str, **values: Any) -> Answer:
        with self._named(), self._pool.one() as conn:
            return conn.execute(statement, values).fetchall()

    def _keys(self, keys: Sequence[Key]) -> str:
        return json.dumps(list(keys))

    @contextmanager
    def _transaction(self, pool: Pool[sqlite3.Connection] | None = None) -> Iterator[sqlite3.Connection]:
        with self._named(), (pool or self._pool).one() as conn, self._turn:
            conn.execute("BEGIN IMMEDIATE")
            try:
                yield conn
                conn.execute("COMMIT")
            finally:
                if conn.in_transaction:
                    conn.execute("ROLLBACK")

    def _connect(self, synchronous: str) -> sqlite3.Connection:
        conn = sqlite3.connect(self._path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        conn.execute("PRAGMA journal_mode=WAL")
        conn.execute(f"PRAGMA synchronous={synchronous}")
        return conn

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UpstreamError(f"{self.name}: {error}") from error


def open_store(place: Place, *, name: str, layout: Layout) -> SqliteStore:
    path = unquote(place.parts.path.removeprefix("/"))
    if place.parts.netloc or not path:
        raise BadInput(
            f"{place.field} {place.shown!r} names no file",
            field=place.field,
            hint="write sqlite:///features.db?table=features, or sqlite:////var/lib/features.db?table=features",
        )
    synchronous = place.options.get("synchronous", "full")
    if synchronous not in ("full", "normal", "off"):
        raise BadInput(f"synchronous is {synchronous!r}; allowed: full, normal, off", field=place.field)
    return SqliteStore(place, path=Path(path), synchronous=synchronous, name=name, layout=layout)


def _first(cursor: sqlite3.Cursor) -> Sequence[Any]:
    found: Sequence[Any] | None = cursor.fetchone()
    cursor.close()  # a statement that is not read to its end keeps the transaction open
    return found if found is not None else (None, 0, 0)


def _stored(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    if kind is Kind.JSON:
        return json_text(value)
    return value.isoformat() if kind is Kind.TIME else value
