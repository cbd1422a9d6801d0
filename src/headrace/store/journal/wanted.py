"""What is wanted of the journal's calls: a test for files and for rows, and the same as SQL. Pure.

Called by query.py alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from headrace.store.journal.manifest import ParquetFile
from headrace.store.journal.records import CallRow
from headrace.types.call import CallStatus

Key = tuple[float, str]  # time and trace id: the order of calls


class Wanted(TypedDict, total=False):
    """What a caller may ask for; None is anything. `since` is included, `until` is not."""

    since: float | None
    until: float | None
    endpoint: str | None
    variant: str | None
    status: CallStatus | None
    unit: str | None
    parent: str | None  # how it begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What is wanted, as a test for files and rows and as SQL. `before` and `behind` are where a page ended."""

    since: float | None = None
    until: float | None = None
    endpoint: str | None = None
    variant: str | None = None
    status: str | None = None
    unit: str | None = None
    parent: str | None = None
    before: Key | None = None
    behind: Key | None = None

    def touches(self, file: ParquetFile) -> bool:
        return not (
            (self.since is not None and file.last < self.since)
            or (self.until is not None and file.first >= self.until)
            or (self.before is not None and (file.first, "") > self.before)
            or (self.behind is not None and file.last < self.behind[0])
        )

    def covers(self, file: ParquetFile) -> bool:
        """All rows of the file are wanted."""
        narrow = (self.endpoint, self.variant, self.status, self.unit, self.parent, self.before, self.behind)
        return (
            all(value is None for value in narrow)
            and (self.since is None or file.first >= self.since)
            and (self.until is None or file.last < self.until)
        )

    def admits(self, row: CallRow) -> bool:
        key = (row.time, row.trace_id)
        return (
            (self.since is None or row.time >= self.since)
            and (self.until is None or row.time < self.until)
            and all(value is None or getattr(row, name) == value for name, value in self._equals())
            and (self.parent is None or row.parent.startswith(self.parent))
            and (self.before is None or key < self.before)
            and (self.behind is None or key > self.behind)
        )

    def sql(self) -> tuple[str, dict[str, Any]]:
        """A condition, and the values it names."""
        values: dict[str, Any] = {}
        terms = ["true"]
        for name, term in (("since", "time >= $since"), ("until", "time < $until")):
            if (bound := getattr(self, name)) is not None:
                terms.append(term)
                values[name] = bound
        for name, value in self._equals():
            if value is not None:
                terms.append(f"{name} = ${name}")
                values[name] = value
        if self.parent is not None:
            terms.append("starts_with(parent, $parent)")
            values["parent"] = self.parent
        for key, sign in ((self.before, "<"), (self.behind, ">")):
            if key is not None:  # the first term alone lets DuckDB skip row groups
                terms.append(f"time {sign}= $key_time AND (time {sign} $key_time OR trace_id {sign} $key_id)")
                values["key_time"], values["key_id"] = key
        return " AND ".join(terms), values

    def _equals(self) -> tuple[tuple[str, str | None], ...]:
        return (
            ("endpoint", self.endpoint),
            ("variant", self.variant),
            ("status", self.status),
            ("unit", self.unit),
        )
