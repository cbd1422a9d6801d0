"""PostgreSQL: `postgresql://user:password@host:5432/database?table=public.features`; with `&ssl=true` encrypted.

Made by base.open_store. Decides that a write is one statement and so one way there and back, and that many rows travel
as one JSON document. A write holds its migration's role with FOR SHARE: a change of roles waits for the writes under
way, and a write that waited for it looks again and finds the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import msgspec
from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection, PreparedStatement

from headrace.migration.stores.base import EPOCH, Place
from headrace.migration.stores.pool import Pool
from headrace.migration.stores.sql import Answer, SqlStore
from headrace.migration.stores.statements import Dialect, Names
from headrace.types.errors import BadInput, UpstreamError
from headrace.types.migration import Key, Kind, Layout, Role, Row, Values, Written

OPTIONS = ("table", "ssl")
TIMEOUT_SECONDS = 30.0  # of each read from the server
_MAKING = 0x686561646D6F7665  # advisory lock: CREATE … IF NOT EXISTS fails when two do it at once
_NOW = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS double precision)"
_TYPES = {
    Kind.TEXT: "text",
    Kind.INT: "bigint",
    Kind.FLOAT: "double precision",
    Kind.BOOL: "boolean",
    Kind.BYTES: "bytea",
    Kind.JSON: "json",
    Kind.TIME: "timestamptz",
}
_TROUBLE = (DatabaseError, InterfaceError, OSError)


class PostgresStore(SqlStore):
    def __init__(self, place: Place, *, name: str, layout: Layout) -> None:
        key = _TYPES[layout.key.kind]
        dialect = Dialect(
            types=_TYPES,
            now=_NOW,
            wanted=f"SELECT unnest(CAST(:keys AS {key}[])) AS key",
            json_text="CAST({} AS text)",
        )
        super().__init__(place.shown, table=place.option("table"), name=name, layout=layout, dialect=dialect)
        self._place = place
        self._pool = Pool(lambda: _Prepared(self._connect({})), trouble=_TROUBLE)
        # What is settled may be forgotten by a power cut: it is carried once more. So nobody waits for the disk there.
        lazy = {"synchronous_commit": "off"}
        self._lazy = Pool(lambda: _Prepared(self._connect(lazy)), trouble=_TROUBLE)
        self._writing = _Writing(self._sql.names, layout, self._sql.set)

    def prepare(self, role: Role) -> None:
        made = (self._sql.make_table,) if role is Role.FOLLOWER else ()
        with self._transaction() as conn:
            conn.run(f"SELECT pg_advisory_xact_lock({_MAKING})")
            for statement in (*made, self._sql.fits, *self._sql.make):
                conn.run(statement)
            conn.run(self._sql.first_role, name=self._migration, role=role.value)

    def write(self, key: Key, values: Values | None) -> Written | None:
        if values is not None:
            found = self._run(self._writing.put, name=self._migration, body=self._body([Row(key=key, values=values)]))
        else:
            # The row's end is a statement of its own: the first one may have waited for a write that it cannot see.
            with self._transaction() as conn:
                found = conn.run(self._writing.count_up, name=self._migration, key=key)
                if found:
                    conn.run(self._writing.delete, keys=[key])
        if not found:
            self.standing()  # says so when there is none at all
            return None
        return Written(version=int(found[0][0]), dual=bool(found[0][1]))

    def follow(self, rows: Sequence[Row]) -> int:
        ordered = sorted(rows, key=lambda row: row.key)  # alike for all, or two would wait for each other
        with self._transaction() as conn:
            keys, versions = [row.key for row in ordered], [row.version for row in ordered]
            taken = {raw[0] for raw in conn.run(self._writing.take, keys=keys, versions=versions)}
            there = [row for row in ordered if row.key in taken and row.values is not None]
            gone = [row.key for row in ordered if row.key in taken and row.values is None]
            if there:
                conn.run(self._writing.put_all, body=self._body(there))
            if gone:
                conn.run(self._writing.delete, keys=gone)
        return len(taken)

    def settle(self, rows: Sequence[Row]) -> None:
        ordered = sorted(rows, key=lambda row: row.key)
        with self._named(), self._lazy.one() as conn:
            conn.run(self._writing.settle, keys=[r.key for r in ordered], versions=[r.version for r in ordered])

    def close(self) -> None:
        self._pool.close()
        self._lazy.close()

    def _run(self, statement: str, **values: Any) -> Answer:
        with self._named(), self._pool.one() as conn:
            return conn.run(statement, **values)

    def _keys(self, keys: Sequence[Key]) -> list[Key]:
        return list(keys)

    def _body(self, rows: Sequence[Row]) -> str:
        told = [
            {"k": row.key} | {f"f{i}": (row.values or {})[f.name] for i, f in enumerate(self._layout.fields)}
            for row in rows
        ]
        return msgspec.json.encode(told).decode()

    @contextmanager
    def _transaction(self) -> Iterator[_Prepared]:
        with self._named(), self._pool.one() as conn:  # one that is left in the middle is closed: it rolls back
            conn.run("BEGIN")
            yield conn
            conn.run("COMMIT")

    def _connect(self, parameters: dict[str, str]) -> Connection:
        parts = self._place.parts
        return Connection(
            unquote(parts.username or ""),
            host=parts.hostname or "localhost",
            port=parts.port or 5432,
            database=unquote(parts.path.strip("/")),
            password=unquote(parts.password) if parts.password else None,
            timeout=TIMEOUT_SECONDS,
            ssl_context=self._place.options.get("ssl") == "true" or None,
            application_name="headrace",
            startup_params={"TimeZone": "UTC"} | parameters,
        )

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except _TROUBLE as error:
            raise UpstreamError(f"{self.name}: {_said(error)}") from error


def open_store(place: Place, *, name: str, layout: Layout) -> PostgresStore:
    if not place.parts.username or not place.parts.path.strip("/"):
        raise BadInput(
            f"{place.field} {place.shown!r} names no {'database' if place.parts.username else 'user'}",
            field=place.field,
            hint="write postgresql://USER:PASSWORD@HOST:5432/DATABASE?table=features",
        )
    return PostgresStore(place, name=name, layout=layout)


class _Prepared:
    """A connection that parses each statement once."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._known: dict[str, PreparedStatement] = {}

    def run(self, statement: str, **values: Any) -> Answer:
        if not values:
            return list(self._conn.run(statement) or ())
        known = self._known.get(statement)
        if known is None:
            known = self._known[statement] = self._conn.prepare(statement)
        return list(known.run(**values) or ())

    def close(self) -> None:
        self._conn.close()


class _Writing:
    """Statements that only PostgreSQL is told. Rows come as JSON objects: `k`, and `f0`, `f1` … for their fields."""

    def __init__(self, names: Names, layout: Layout, changed: str) -> None:
        n, key = names, _TYPES[layout.key.kind]
        told = ", ".join([f"k {key}", *(f"f{i} {_told(f.kind)}" for i, f in enumerate(layout.fields))])
        rows = f"json_to_recordset(CAST(:body AS json)) AS j({told})"
        fields = ", ".join(_read(f.kind, f"j.f{i}") for i, f in enumerate(layout.fields))
        into = f"INSERT INTO {n.table} ({n.key}, {', '.join(n.columns)})"
        conflict = f"ON CONFLICT ({n.key}) DO UPDATE SET {changed}"
        first = f"epoch * {EPOCH} + 1 AS first"
        truth = f"r AS (SELECT dual, {first} FROM {n.role} WHERE name = :name AND role = 'truth' FOR SHARE)"
        since = f"CASE WHEN r.dual = 1 THEN {_NOW} END"
        again = (
            "ON CONFLICT (key) DO UPDATE SET version = GREATEST(m.version + 1, excluded.version), "
            "since = CASE WHEN excluded.since IS NOT NULL THEN COALESCE(m.since, excluded.since) END "
            "RETURNING m.version"
        )
        moved = f"INSERT INTO {n.moved} AS m (key, version, since)"
        self.put = (
            f"WITH j AS (SELECT * FROM {rows}), {truth}, "
            f"v AS ({moved} SELECT j.k, r.first, {since} FROM r, j {again}), "
            f"d AS ({into} SELECT j.k, {fields} FROM j, v {conflict}) SELECT v.version, r.dual FROM v, r"
        )
        self.count_up = (
            f"WITH {truth}, v AS ({moved} SELECT CAST(:key AS {key}), r.first, {since} FROM r {again}) "
            "SELECT v.version, r.dual FROM v, r"
        )
        self.delete = f"DELETE FROM {n.table} WHERE {n.key} = ANY(CAST(:keys AS {key}[]))"
        given = f"unnest(CAST(:keys AS {key}[]), CAST(:versions AS bigint[])) AS g(key, version)"
        self.take = (
            f"{moved} SELECT g.key, g.version, NULL FROM {given} ON CONFLICT (key) DO UPDATE "
            "SET version = excluded.version WHERE excluded.version >= m.version RETURNING m.key"
        )
        self.put_all = f"{into} SELECT j.k, {fields} FROM {rows} {conflict}"
        self.settle = (
            f"UPDATE {n.moved} AS m SET since = NULL FROM {given} WHERE m.key = g.key AND m.version = g.version"
        )


def _told(kind: Kind) -> str:
    return "text" if kind is Kind.BYTES else _TYPES[kind]


def _read(kind: Kind, value: str) -> str:
    return f"decode({value}, 'base64')" if kind is Kind.BYTES else value


def _said(error: Exception) -> str:
    """The server's own words, out of the fields of its message."""
    told = error.args[0] if error.args else ""
    return str(told.get("M", told)) if isinstance(told, dict) else str(told) or type(error).__name__
