"""One migration with all that takes part in it: two stores, clients of an application, an operator."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.base.clock import ManualClock
from headrace.migration.check import pages
from headrace.migration.client import Moving, open_stores
from headrace.migration.migrate import Migration
from headrace.migration.roles import SOURCE, TARGET
from headrace.migration.stores.base import Store
from headrace.types.migration import Field, Key, Kind, Layout, Phase, Progress, Spec

LAYOUT = Layout(key=Field(name="id", kind=Kind.TEXT), fields=(Field(name="value", kind=Kind.INT),))


def quiet(_: Progress) -> None:
    pass


class Moved:
    def __init__(self, folder: Path, *, chunk: int = 3) -> None:
        self.folder = folder
        self.paths = (folder / "source.db", folder / "target.db")
        urls = [f"sqlite:///{path}?synchronous=off&table=rows" for path in self.paths]
        self.spec = Spec(name="rows", source=urls[0], target=urls[1], layout=LAYOUT, chunk=chunk)
        with sqlite3.connect(self.paths[SOURCE]) as conn:
            conn.execute("CREATE TABLE rows (id TEXT PRIMARY KEY NOT NULL, value INTEGER, ours TEXT DEFAULT 'kept')")
        conn.close()
        self.clock = ManualClock()
        self.stores = open_stores(self.spec)
        self.clients: list[Moving] = []
        self.operators: list[Migration] = []

    def client(self, *, carry: bool = False) -> Moving:
        made = Moving(self.spec, clock=self.clock, carry=carry)
        self.clients.append(made)
        return made

    def operator(self) -> Migration:
        made = Migration(self.spec, self.stores, folder=self.folder, clock=self.clock, actor="ada")
        self.operators.append(made)
        return made

    def until(self, phase: Phase) -> Migration:
        """Every step up to this phase."""
        migration = self.operator()
        migration.start()
        if phase is not Phase.DUAL:
            migration.copy(quiet)
        if phase in (Phase.CHECKED, Phase.SWITCHED, Phase.FINISHED):
            assert migration.check(quiet).equal
        if phase in (Phase.SWITCHED, Phase.FINISHED):
            migration.switch(quiet)
        if phase is Phase.FINISHED:
            migration.finish()
        return migration

    def put_past(self, number: int, key: Key, value: int | None) -> None:
        """As somebody who knows nothing of the migration."""
        with sqlite3.connect(self.paths[number]) as conn:
            conn.execute("DELETE FROM rows WHERE id = ?", (key,))
            if value is not None:
                conn.execute("INSERT INTO rows (id, value) VALUES (?, ?)", (key, value))
        conn.close()

    def close(self) -> None:
        for each in (*self.clients, *self.operators, *self.stores):
            each.close()


def contents(store: Store) -> dict[Key, Any]:
    return {row.key: value_of(row.values) for page in pages(store, 100) for row in page.rows}


def value_of(values: Mapping[str, Any] | None) -> Any:
    return None if values is None else values["value"]


__all__ = ["LAYOUT", "SOURCE", "TARGET", "Moved", "contents", "quiet", "value_of"]
