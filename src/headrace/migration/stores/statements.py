"""The SQL of a migration, for SQLite and PostgreSQL alike. Pure: names in, text out.

Called by sql.py, sqlite.py and postgres.py. Decides the names of the tables beside the rows' own: `headrace_move_NAME`
has a row for each key that has a version, with `since` while the other store has not got that version;
`headrace_role` has one row for each migration. The rows' table itself gets no column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from headrace.types.errors import BadInput
from headrace.types.migration import Kind, Layout

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    types: Mapping[Kind, str]  # of a column that is made
    now: str  # seconds since the epoch, on the store's own clock
    wanted: str  # the keys of the parameter `keys` as rows
    json_text: str = "{}"  # a column of JSON, as text: a driver that parses it would make "1" and 1 the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Quoted, and safe in a statement."""

    table: str
    moved: str
    role: str
    key: str
    columns: tuple[str, ...]
    index: str


def names_of(table: str, name: str, layout: Layout) -> Names:
    """`table` may have a schema before it. Raises BadInput for what is no plain name."""
    *schema, _ = table.split(".")
    before = "".join(f"{quoted(part)}." for part in schema)
    return Names(
        table=".".join(quoted(part) for part in table.split(".")),
        moved=before + quoted(f"headrace_move_{name}"),
        role=before + quoted("headrace_role"),
        key=quoted(layout.key.name),
        columns=tuple(quoted(f.name) for f in layout.fields),
        index=quoted(f"headrace_due_{name}"),
    )


def quoted(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} is no name of a table or column; allowed: letters, digits and '_'", field="table")
    return f'"{name}"'


class Statements:
    """What both databases are told, word for word."""

    def __init__(self, names: Names, layout: Layout, dialect: Dialect) -> None:
        self.names = names
        n, key, kinds = names, names.key, dialect.types
        reads = {f.name: dialect.json_text if f.kind is Kind.JSON else "{}" for f in layout.fields}
        told = zip(names.columns, layout.fields, strict=True)
        columns = "".join(", " + reads[f.name].format(f"d.{c}") for c, f in told)
        fields = "".join(f", {c} {kinds[f.kind]}" for c, f in zip(names.columns, layout.fields, strict=True))
        versions = f"LEFT JOIN {n.moved} v ON v.key = "
        self.make_table = (
            f"CREATE TABLE IF NOT EXISTS {n.table} ({key} {kinds[layout.key.kind]} PRIMARY KEY NOT NULL{fields})"
        )
        # With `d.`, because SQLite takes a bare name in quotes that is no column for a text.
        self.fits = f"SELECT {', '.join(f'd.{c}' for c in (key, *n.columns))} FROM {n.table} d LIMIT 0"
        moved = f"key {kinds[layout.key.kind]} PRIMARY KEY NOT NULL, version BIGINT NOT NULL, since DOUBLE PRECISION"
        role = "name TEXT PRIMARY KEY NOT NULL, role TEXT NOT NULL, epoch BIGINT NOT NULL, dual INTEGER NOT NULL"
        self.make = (
            f"CREATE TABLE IF NOT EXISTS {n.moved} ({moved})",
            f"CREATE INDEX IF NOT EXISTS {n.index} ON {n.moved} (since) WHERE since IS NOT NULL",
            f"CREATE TABLE IF NOT EXISTS {n.role} ({role})",
        )
        self.role = f"SELECT role, epoch, dual FROM {n.role} WHERE name = :name"
        self.first_role = f"INSERT INTO {n.role} VALUES (:name, :role, 0, 0) ON CONFLICT (name) DO NOTHING"
        self.new_role = (
            f"UPDATE {n.role} SET role = :role, epoch = :epoch, dual = :dual "
            "WHERE name = :name AND role = :old_role AND epoch = :old_epoch RETURNING epoch"
        )
        self.get = (
            f"SELECT k.key, COALESCE(v.version, 0), d.{key} IS NOT NULL, r.role, r.epoch, r.dual{columns} "
            f"FROM ({dialect.wanted}) k LEFT JOIN {n.table} d ON d.{key} = k.key {versions} k.key "
            f"LEFT JOIN {n.role} r ON r.name = :name"
        )
        page = f"SELECT d.{key}, COALESCE(v.version, 0){columns} FROM {n.table} d {versions} d.{key}"
        order = f"ORDER BY d.{key} LIMIT :limit"
        self.first_page, self.next_page = f"{page} {order}", f"{page} WHERE d.{key} > :after {order}"
        self.pending = f"SELECT key FROM {n.moved} WHERE since IS NOT NULL ORDER BY since LIMIT :limit"
        self.lag = f"SELECT COUNT(*), COALESCE({dialect.now} - MIN(since), 0.0) FROM {n.moved} WHERE since IS NOT NULL"
        self.size = f"SELECT COUNT(*) FROM {n.table}"
        self.forget = f"DELETE FROM {n.moved}"
        self.set = ", ".join(f"{c} = excluded.{c}" for c in names.columns)
