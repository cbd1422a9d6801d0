"""Labelled rows from a file: JSON lines, or a table with a header.

Called by commands that send rows to the control plane.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import msgspec

from headrace.types.errors import BadInput

SUFFIXES = (".jsonl", ".ndjson", ".csv")


def read_rows(file: Path, *, field: str) -> list[dict[str, Any]]:
    """Raises BadInput, naming the line."""
    if file.suffix.lower() not in SUFFIXES:
        raise BadInput(f"{field} is {file.name!r}; allowed: {', '.join(SUFFIXES)}", field=field)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{str(file)!r} cannot be read: {error}", field=field) from error
    if file.suffix.lower() == ".csv":
        return list(csv.DictReader(text.splitlines()))
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                rows.append(msgspec.json.decode(line, type=dict[str, Any]))
            except msgspec.MsgspecError as error:
                raise BadInput(f"line {number} of {file.name!r} is no JSON object: {error}", field=field) from error
    return rows
