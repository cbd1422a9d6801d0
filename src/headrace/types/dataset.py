"""A dataset version and how it came to be: its manifest, where each row is from, what curation did and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Split(StrEnum):
    """Which file of a version a row is in. A user is in `train` or `validation`, or is held out: never both."""

    TRAIN = "train"  # what a model learns from
    VALIDATION = "validation"  # what a training run may look at to choose
    FRESH = "fresh"  # held out, and younger than the golden set: what the model meets today
    GOLDEN = "golden"  # held out and frozen: the same rows in every version until a person freezes others
    MUST = "must"  # of a turn: rows that have to be right whatever else is better
    CRITIQUE = "critique"  # complaints without the right answer: words for a metric, never a label


LABELLED = (Split.TRAIN, Split.VALIDATION, Split.FRESH, Split.GOLDEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """`path` is relative to the version; `split` is empty for a file of an export."""

    path: str
    sha256: str
    size: int
    rows: int
    split: str = ""
    row_hash: str = ""  # of this file's rows alone, in any order


@dataclass(frozen=True, slots=True, kw_only=True)
class CurationRule:
    """One rule as it is asked for. `options` are the rule's own, such as {"limit": 50}; absent ones have a default."""

    name: str
    on: bool = True
    options: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleReport:
    """What one rule did. `taken` rows go no further; `why` counts them by reason; `traces` are some of them."""

    name: str
    on: bool
    options: Mapping[str, float]
    seen: int = 0
    kept: int = 0
    taken: int = 0
    changed: int = 0
    why: Mapping[str, int] = field(default_factory=dict)
    traces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CurationReport:
    """`raters` is how many people spoke; `distrusted` are those whom no rule believed, by reason; `disputed` are traces
    about which people contradict each other: they wait for review."""

    rules: tuple[RuleReport, ...]
    rows_in: int
    rows_out: int
    splits: Mapping[str, int]
    labels: Mapping[str, int]  # how often each label stands in the labelled rows; the most frequent 50
    raters: int = 0
    distrusted: Mapping[str, str] = field(default_factory=dict)
    disputed: tuple[str, ...] = ()
    misfits: int = 0  # corrections that fit no row of their call


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOrigin:
    """Where one row is from: which call, whose words, by which rule."""

    row: str  # "row_" and a hash of the row's trace and index: the same in every version
    split: Split
    trace_id: str
    index: int  # of the row within its call
    endpoint: str
    version: int  # of the model that answered
    unit: str
    time: float
    rule: str  # that gave the label: corrections, praise, review; complaints for a critique
    feedback: tuple[str, ...] = ()
    raters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a dataset version is made of. `since` is included, `until` is not; seconds since the epoch.

    `name` defaults to the model's. The shares are of users, by a hash with `salt`: they never move between versions.
    """

    model: str
    name: str = ""
    endpoint: str | None = None
    since: float | None = None
    until: float | None = None
    rules: tuple[CurationRule, ...] = ()  # those that shall not be as by default
    validation: float = 0.1
    held: float = 0.2  # of the users: golden, and fresh
    salt: str = "headrace"
    golden: int = 50  # held-out rows from which on they are frozen as the golden set

    @property
    def dataset(self) -> str:
        return self.name or self.model


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """A manifest. `id` is "ds_" and the sha256 of the manifest; `row_hash` does not depend on the order of rows.

    Neither `id`, `number` nor `created` is part of what is hashed: the same data are the same version.
    """

    id: str
    name: str
    created: float
    files: tuple[DataFile, ...]
    columns: Mapping[str, str]
    rows: int
    row_hash: str
    parents: tuple[str, ...] = ()
    query: str = ""  # the selection that made it
    corrected: int = 0  # rows whose output a person corrected
    number: int = 0  # name@number, counted by name; 0 for an export that was not kept
    model: str = ""
    code: str = ""  # sha256 of the rules' source and options
    report: CurationReport | None = None

    def file(self, split: Split) -> DataFile | None:
        return next((file for file in self.files if file.split == split), None)

    def count(self, split: Split) -> int:
        file = self.file(split)
        return file.rows if file else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """A row that is in both versions and not the same."""

    row: str
    trace_id: str
    before: Mapping[str, Any]  # the fields that differ
    after: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetDiff:
    """From `before` to `after`, by row; the lists have at most as many as were asked for, the counts are of all."""

    before: str
    after: str
    added: int
    removed: int
    changed: int
    same: int
    added_rows: tuple[RowOrigin, ...] = ()
    removed_rows: tuple[RowOrigin, ...] = ()
    changed_rows: tuple[RowChange, ...] = ()
