"""Rows that teach and rows that examine, as lines of JSON. Called by the steps.

A case is `{"inputs": …, "label": …}` and, for rows out of production, where it came from: trace, unit, source. Its
digest is that of its inputs, so that a row of the examination is found again among what was learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from headrace.types.errors import BadInput

Case = dict[str, Any]
_sorted = msgspec.json.Encoder(order="sorted")


def read_cases(path: Path) -> Iterator[Case]:
    """Raises BadInput naming the line that is no case."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _case(line, path, number)


def write_cases(path: Path, cases: Iterable[Case]) -> int:
    written = 0
    with path.open("wb") as file:
        for case in cases:
            file.write(msgspec.json.encode(case) + b"\n")
            written += 1
    return written


def inputs_digest(case: Case) -> str:
    return digest_of(case["inputs"])


def digest_of(value: Any) -> str:
    return sha256(_sorted.encode(value)).hexdigest()


def _case(line: bytes, path: Path, number: int) -> Case:
    try:
        case = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise BadInput(f"line {number} of {path.name} is not JSON: {error}", field=path.name) from error
    if not isinstance(case, dict) or "inputs" not in case or "label" not in case:
        raise BadInput(f"line {number} of {path.name} has no inputs or no label", field=path.name)
    return case
