"""Nouns of a migration of data between two stores: what a row is, where each store stands, how far it has come.

A row has a version, counted up by the store that is the truth in the transaction of each write. Whatever is carried to
the other store carries its version, so that an older one never replaces a newer one, in whatever order they arrive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Key = str | int
Values = Mapping[str, Any]


class Kind(Enum):
    """What a field holds, the same in every store."""

    TEXT = "text"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    BYTES = "bytes"
    JSON = "json"
    TIME = "time"  # a moment, in UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A row: one key, and fields that may each be empty (None)."""

    key: Field
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    key: Key
    version: int = 0  # 0: not written since the migration knows the store
    values: Values | None = None  # None: there is no such row


class Role(Enum):
    """What a store is to applications. At any moment at most one store is the truth."""

    TRUTH = "truth"  # read, and written first
    FOLLOWER = "follower"  # given what the truth has taken
    YIELDED = "yielded"  # was the truth until a moment ago; the other one becomes it when it has everything
    RETIRED = "retired"  # no longer part of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    role: Role
    epoch: int  # counted up by each change of roles; a change names the one it expects
    dual: bool = False  # writes are carried to the other store


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    rows: tuple[Row, ...]
    standing: Standing  # of the store, at the moment of the reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    version: int
    dual: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    rows: tuple[Row, ...]
    after: str  # where the next one begins; empty after the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What the truth has taken and the follower has not."""

    rows: int = 0
    seconds: float = 0.0  # how long the oldest has waited


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A migration as it is described in a file. The URLs may hold secrets: they are never stored or shown."""

    name: str
    source: str
    target: str
    layout: Layout
    chunk: int = 1000  # rows copied and compared at a time


class Phase(Enum):
    """How far a migration is, each with what is true then."""

    NEW = "new"  # nothing is known of it
    DUAL = "dual"  # each write goes to both stores
    COPIED = "copied"  # and every row that was there before is in the target too
    CHECKED = "checked"  # and both were compared and found equal
    SWITCHED = "switched"  # the target is the truth; the source follows, so that going back is instant
    FINISHED = "finished"  # the target alone
    ABORTED = "aborted"  # the source alone, as before


class Difference(Enum):
    """How a row of the follower differs from the truth's."""

    MISSING = "missing"
    EXTRA = "extra"
    CHANGED = "changed"
    AHEAD = "ahead"  # of a later version: left over from something else
    UNSETTLED = "unsettled"  # written so often that no two looks agreed


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    key: Key
    what: Difference
    truth: Row
    follower: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`fingerprint`: of all rows, whatever their order; the same in both stores when nothing is written meanwhile."""

    time: float
    rows: int
    compared: int
    differing: tuple[Differing, ...] = ()  # the first ones
    differences: int = 0  # of them all
    repaired: int = 0
    fingerprint: str = ""
    sample: float = 1.0

    @property
    def equal(self) -> bool:
        return self.differences == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    number: int
    after: str  # where the next one begins
    rows: int
    checksum: str  # of its rows in the source, found again in the target


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One entry of the record: who did what, and what came of it."""

    time: float
    actor: str
    action: str
    phase: Phase
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    what: str
    done: int
    total: int = 0  # as far as it is known
    notes: Mapping[str, int] = field(default_factory=dict)
