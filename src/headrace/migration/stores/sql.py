"""What SQLite and PostgreSQL do alike: reading, roles, and what is pending. Writing is each one's own.

Called by sqlite.py and postgres.py. Decides how an answer of a driver becomes rows.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from headrace.migration.stores.base import EPOCH
from headrace.migration.stores.statements import Dialect, Statements, names_of
from headrace.migration.values import from_json_text, normal
from headrace.types.errors import Unavailable
from headrace.types.migration import Field, Key, Kind, Lag, Layout, Page, Reading, Role, Row, Standing

Answer = list[Sequence[Any]]


def floor_of(standing: Standing) -> int:
    """What versions begin above in this epoch."""
    return standing.epoch * EPOCH


class SqlStore(ABC):
    def __init__(self, shown: str, *, table: str, name: str, layout: Layout, dialect: Dialect) -> None:
        self.name = shown
        self._migration, self._layout = name, layout
        self._sql = Statements(names_of(table, name, layout), layout, dialect)

    @abstractmethod
    def _run(self, statement: str, **values: Any) -> Answer:
        """One statement, a transaction of its own. Raises UpstreamError."""

    @abstractmethod
    def _keys(self, keys: Sequence[Key]) -> Any:
        """As the parameter that the dialect's `wanted` makes rows of."""

    def get(self, keys: Sequence[Key]) -> Reading:
        if not keys:
            return Reading(rows=(), standing=self.standing())
        found = self._run(self._sql.get, name=self._migration, keys=self._keys(keys))
        known = {raw[0]: raw for raw in found}
        rows = []
        for key in keys:
            raw = known[key]
            values = self._values(raw[6:]) if raw[2] else None
            rows.append(Row(key=key, version=int(raw[1]), values=values))
        return Reading(rows=tuple(rows), standing=self._standing(found[0][3:6]))

    def page(self, after: str, limit: int) -> Page:
        if after:
            found = self._run(self._sql.next_page, after=json.loads(after), limit=limit)
        else:
            found = self._run(self._sql.first_page, limit=limit)
        rows = tuple(Row(key=raw[0], version=int(raw[1]), values=self._values(raw[2:])) for raw in found)
        return Page(rows=rows, after=json.dumps(rows[-1].key) if len(rows) == limit else "")

    def pending(self, limit: int) -> tuple[Key, ...]:
        return tuple(raw[0] for raw in self._run(self._sql.pending, limit=limit))

    def lag(self) -> Lag:
        count, seconds = self._run(self._sql.lag)[0]
        return Lag(rows=int(count), seconds=max(0.0, float(seconds)))

    def size(self) -> int:
        return int(self._run(self._sql.size)[0][0])

    def standing(self) -> Standing:
        found = self._run(self._sql.role, name=self._migration)
        return self._standing(found[0] if found else (None, 0, 0))

    def stand(self, new: Standing, expected: Standing) -> bool:
        changed = self._run(
            self._sql.new_role,
            name=self._migration,
            role=new.role.value,
            epoch=new.epoch,
            dual=int(new.dual),
            old_role=expected.role.value,
            old_epoch=expected.epoch,
        )
        return bool(changed)

    def forget(self) -> None:
        self._run(self._sql.forget)

    def _standing(self, raw: Sequence[Any]) -> Standing:
        if raw[0] is None:
            raise Unavailable(
                f"{self.name} does not know the migration {self._migration!r}", hint="headrace migrate start makes it"
            )
        return Standing(role=Role(raw[0]), epoch=int(raw[1]), dual=bool(raw[2]))

    def _values(self, raw: Sequence[Any]) -> dict[str, Any]:
        return {f.name: _value(f, value) for f, value in zip(self._layout.fields, raw, strict=True)}


def _value(spec: Field, value: Any) -> Any:
    return from_json_text(spec, value) if spec.kind is Kind.JSON and value is not None else normal(spec, value)
