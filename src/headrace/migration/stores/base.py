"""What a store must do, and which one a URL leads to: `sqlite:///features.db?table=features`.

Called by the client and by every step of a migration. Decides the form of the URLs. A store is one file and one row in
STORES; tests/contract/test_stores.py holds all to the same behaviour. Trouble with the connection is raised as
UpstreamError: what was asked may be asked again.

What everything rests on: a store takes a `write` only while it is the truth, and it looks in the same atomic step that
writes. There it also counts the row's version up, and notes that the row is not yet in the other store. That note is
the log of the second write: it is kept exactly as long and as safely as the write itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol
from urllib.parse import SplitResult, parse_qsl, urlsplit

from headrace.types.errors import BadInput, Unavailable
from headrace.types.migration import Key, Lag, Layout, Page, Reading, Role, Row, Standing, Values, Written

# A version counts on from the highest of its row, and from the epoch times this. So whatever is written after a change
# of roles is newer than all that was written before it, also where the new truth has never heard of a row: one that was
# deleted before anything was copied leaves nothing but a version, and that in the old truth alone.
EPOCH = 1 << 32


class Rows(Protocol):
    """Rows as they are, with their versions."""

    def get(self, keys: Sequence[Key]) -> Reading:
        """One row for each key in this order; without values where there is none."""
        ...

    def page(self, after: str, limit: int) -> Page:
        """Some of all rows. Each row that stays is on some page; one may be on two."""
        ...

    def follow(self, rows: Sequence[Row]) -> int:
        """Take rows over from the truth, but none that is older than what is here. How many were taken."""
        ...

    def size(self) -> int: ...


class Truth(Protocol):
    """The first write, and what the other store still has to be given."""

    def write(self, key: Key, values: Values | None) -> Written | None:
        """The whole row, or its end. None, and nothing is written, when this store is not the truth."""
        ...

    def pending(self, limit: int) -> tuple[Key, ...]:
        """Written here and not settled, the oldest first."""
        ...

    def settle(self, rows: Sequence[Row]) -> None:
        """The other store has these versions; one that was written again meanwhile stays pending."""
        ...

    def lag(self) -> Lag: ...


class Roles(Protocol):
    """Where the store stands, kept in the store itself, so that every application sees the same at once."""

    def prepare(self, role: Role) -> None:
        """Make what is missing: the tables beside the rows' own, the role, if it has none, and for a follower the rows'
        table too. Raises UpstreamError when a table that is there lacks a field."""
        ...

    def standing(self) -> Standing: ...

    def stand(self, new: Standing, expected: Standing) -> bool:
        """Change it; False, and nothing is changed, when it is not as expected. Waits for writes under way."""
        ...

    def forget(self) -> None:
        """All versions and all that is pending: before a migration begins anew. Rows stay."""
        ...


class Store(Rows, Truth, Roles, Protocol):
    name: str  # to show: without user, password, options

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A URL, taken apart. `shown` has no secret in it."""

    parts: SplitResult
    options: dict[str, str]
    field: str  # of the description: source or target

    @property
    def shown(self) -> str:
        port = f":{self.parts.port}" if self.parts.port else ""
        what = self.options.get("table") or self.options.get("prefix") or ""
        return f"{self.parts.scheme}://{self.parts.hostname or ''}{port}{self.parts.path}" + (
            f" {what}" if what else ""
        )

    def option(self, name: str) -> str:
        found = self.options.get(name)
        if not found:
            raise BadInput(
                f"{self.field} {self.shown!r} names no {name}", field=self.field, hint=f"write ?{name}=… after it"
            )
        return found


class Opener(Protocol):
    """The module of a store."""

    OPTIONS: tuple[str, ...]

    def open_store(self, place: Place, *, name: str, layout: Layout) -> Store:
        """`name`: of the migration. Connects on first use."""
        ...


STORES = {
    "sqlite": "sqlite",
    "postgresql": "postgres",
    "postgres": "postgres",
    "redis": "redis",
    "rediss": "redis",
}


def open_store(url: str, *, field: str, name: str, layout: Layout) -> Store:
    """Raises BadInput for a URL that leads nowhere, Unavailable with the install hint when its client is not there."""
    parts = urlsplit(url)
    if parts.scheme not in STORES:
        raise BadInput(f"{field} is of scheme {parts.scheme!r}; allowed: {', '.join(STORES)}", field=field)
    place = Place(parts=parts, options=dict(parse_qsl(parts.query)), field=field)
    try:
        module: Opener = import_module(f"headrace.migration.stores.{STORES[parts.scheme]}")
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"{field} needs {error.name}", hint="install it with: pip install 'headrace[migration]'"
        ) from error
    unknown = [option for option in place.options if option not in module.OPTIONS]
    if unknown:
        raise BadInput(f"{field} has the option {unknown[0]!r}; allowed: {', '.join(module.OPTIONS)}", field=field)
    return module.open_store(place, name=name, layout=layout)
