"""Which rows an optimizer learns from, chooses by, and never sees. Pure.

Called by compile.py. Decides by a row's content and the seed, so that equal rows stay on one side and a growing data
set keeps its test; with `group` (a user, a session) all rows of one group go together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from headrace.programs.order import Row
from headrace.types.errors import BadInput

TEST, VALID = 0.3, 0.3  # of all rows; of those that are left
LEAST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    train: tuple[Row, ...]
    valid: tuple[Row, ...]
    test: tuple[Row, ...]


def split(
    rows: Sequence[Row],
    *,
    inputs: Sequence[str],
    seed: int,
    group: str = "",
    test: Sequence[Row] = (),
    measured: bool = True,
) -> Split:
    """`test`: rows kept apart already; then none are taken for it, and rows that are among them are left out. Without
    `measured` there is no test. Raises BadInput when too few are left."""
    shares = [_share(_key(row, inputs, group), seed) for row in rows]
    held = {_key(row, inputs, "") for row in test}
    kept_apart = TEST if measured and not test else 0.0
    found = Split(
        train=tuple(
            r for r, s in zip(rows, shares, strict=True) if s >= _edge(kept_apart) and _key(r, inputs, "") not in held
        ),
        valid=tuple(
            r
            for r, s in zip(rows, shares, strict=True)
            if kept_apart <= s < _edge(kept_apart) and _key(r, inputs, "") not in held
        ),
        test=tuple(test) or tuple(r for r, s in zip(rows, shares, strict=True) if s < kept_apart),
    )
    if len(rows) < LEAST or not (found.train and found.valid and (found.test or not measured)):
        sizes = f"{len(found.train)} to train on, {len(found.valid)} to validate on, {len(found.test)} to test on"
        raise BadInput(f"{len(rows)} rows are too few: {sizes}", field="data", hint=f"give {LEAST} rows at least")
    return found


def _edge(kept_apart: float) -> float:
    return kept_apart + (1 - kept_apart) * VALID


def _key(row: Row, inputs: Sequence[str], group: str) -> bytes:
    if group and row.get(group) not in (None, ""):
        return msgspec.json.encode([row[group]])
    return msgspec.json.encode([row.get(name) for name in inputs])


def _share(key: bytes, seed: int) -> float:
    return int.from_bytes(blake2b(key, digest_size=8, key=seed.to_bytes(8, "little", signed=True)).digest()) / 2**64
