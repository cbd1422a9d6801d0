"""What the rows around a row are labelled. Pure; called by the rules `raters` and `outliers`.

Decides what near is: numbers by their distance in units of each column's spread, text by its words (hashed into 256
places), named columns one after another. Only rows of other users count, so that nobody vouches for themselves.
Compares with at most REFERENCE rows: beyond, a sample of them by hash.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import numpy as np

from headrace.data.rows import Candidate, draw, same

REFERENCE: Final = 10_000
BLOCK: Final = 512
PLACES: Final = 256
MOST: Final = 4096  # numbers of one row; a larger one is not compared
_WORD: Final = re.compile(r"\w+")
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What most of the nearest rows say, as JSON, and how many of them do."""

    label: bytes
    agreement: float


def opinions(rows: Sequence[Candidate], known: Sequence[Candidate], *, neighbours: int) -> dict[str, Opinion]:
    """By row. A row that cannot be compared, or has too few others, is absent. `known` are believed and not asked."""
    everyone = [*rows, *known]
    vectors, usable = embed([row.inputs for row in everyone])
    asked = [n for n in range(len(rows)) if usable[n]]
    reference = [n for n in range(len(everyone)) if usable[n]]
    if len(reference) > REFERENCE:
        reference = sorted(reference, key=lambda n: draw("reference", everyone[n].row))[:REFERENCE]
    labels = [same(everyone[n].label) for n in reference]
    units = np.array([crc32(everyone[n].unit.encode()) for n in reference], dtype=np.int64)
    found: dict[str, Opinion] = {}
    if len(reference) <= neighbours:
        return found
    points = vectors[reference]
    lengths = (points * points).sum(axis=1)
    for start in range(0, len(asked), BLOCK):
        block = asked[start : start + BLOCK]
        mine = vectors[block]
        distance = lengths[None, :] - 2 * (mine @ points.T)
        own = np.array([crc32(everyone[n].unit.encode()) for n in block], dtype=np.int64)
        distance[own[:, None] == units[None, :]] = np.inf
        nearest = np.argpartition(distance, neighbours - 1, axis=1)[:, :neighbours]
        for line, n in enumerate(block):
            near = [labels[k] for k in nearest[line] if math.isfinite(distance[line, k])]
            if len(near) == neighbours:
                label, votes = Counter(near).most_common(1)[0]
                found[everyone[n].row] = Opinion(label=label, agreement=votes / neighbours)
    return found


def embed(values: Sequence[Any]) -> tuple[Matrix, list[bool]]:
    """One vector for each value, and whether it is one: those of the most frequent shape are."""
    parts = [_parts(value) for value in values]
    shape = Counter(_shape(part) for part in parts if part is not None).most_common(1)
    usual = shape[0][0] if shape else None
    usable = [part is not None and _shape(part) == usual for part in parts]
    if usual is None:
        return np.zeros((len(values), 1), dtype=np.float32), usable
    numbers, texts = usual
    matrix = np.zeros((len(values), numbers + PLACES * bool(texts)), dtype=np.float32)
    for line, part in enumerate(parts):
        if part is not None and usable[line]:
            matrix[line, :numbers] = part[0]
            if texts:
                matrix[line, numbers:] = _hashed(part[1])
    _scale(matrix[:, :numbers], usable)
    return matrix, usable


def _scale(numbers: Matrix, usable: Sequence[bool]) -> None:
    """In place: each column by its spread, robustly: one huge value must not make all others equal."""
    if not numbers.shape[1]:
        return
    there = numbers[np.array(usable)]
    middle = np.median(there, axis=0)
    spread = np.quantile(there, 0.9, axis=0) - np.quantile(there, 0.1, axis=0)
    spread = np.where(spread > 0, spread, there.std(axis=0))
    np.subtract(numbers, middle, out=numbers)
    np.divide(numbers, np.where(spread > 0, spread, 1.0), out=numbers)
    np.clip(numbers, -10, 10, out=numbers)


def _hashed(texts: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The words of all texts, as a direction."""
    places = np.zeros(PLACES, dtype=np.float32)
    for word in _WORD.findall(" ".join(texts).lower()):
        code = crc32(word.encode())
        places[code % PLACES] += 1.0 if code & 0x8000_0000 else -1.0
    length = float(np.linalg.norm(places))
    return places / length if length else places


def _parts(value: Any) -> tuple[list[float], list[str]] | None:
    """The numbers and the texts of a row. None: it has something else, or too much, in it."""
    numbers: list[float] = []
    texts: list[str] = []
    for leaf in _leaves(value):
        if isinstance(leaf, str):
            texts.append(leaf)
        elif isinstance(leaf, int | float) and math.isfinite(leaf):
            numbers.append(float(leaf))
        elif leaf is None:
            numbers.append(0.0)
        else:
            return None
        if len(numbers) > MOST:
            return None
    return numbers, texts


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    elif isinstance(value, Mapping):
        for key in sorted(value):
            yield from _leaves(value[key])
    else:
        yield value


def _shape(part: tuple[list[float], list[str]]) -> tuple[int, bool]:
    return len(part[0]), bool(part[1])
