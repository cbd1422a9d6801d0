"""Which format a file of rows has: what its suffix says, unless it is named.

Called by the command line and the admin API; imports no Arrow, which neither has at its start.
"""

from __future__ import annotations

from pathlib import Path

from headrace.types.errors import BadInput
from headrace.types.job import FileFormat

SUFFIXES = {
    ".csv": FileFormat.CSV,
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".parquet": FileFormat.PARQUET,
    ".pq": FileFormat.PARQUET,
}


def format_of(path: Path, given: str | None, *, field: str) -> FileFormat:
    allowed = ", ".join(FileFormat)
    if given is not None:
        if given.lower() not in set(FileFormat):
            raise BadInput(f"format is {given!r}; allowed: {allowed}", field="format")
        return FileFormat(given.lower())
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise BadInput(
            f"{field} is {path.name!r}, whose suffix names no format; known are: {', '.join(SUFFIXES)}",
            field=field,
            hint=f"name it: {allowed}",
        )
    return found
