"""Which texts are nearly the same, without comparing all with all. Pure; called by the rules near.py and split.py.

A text becomes the set of its word triples; 64 minima of 64 hashes of a set stand for it (Broder 1997). Sixteen bands of
four minima are looked up: two texts with 80 % of their triples in common meet in one of them with a probability of
99.98 %, with 50 % of 64 %. Who meets is compared exactly, so a chance meeting costs time and never a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from zlib import crc32

import numpy as np

MINIMA: Final = 64
BANDS: Final = 16
_PRIME: Final = np.uint64((1 << 31) - 1)
_generator = np.random.default_rng(20_260_101)  # the same hashes in every process
_A: Final = _generator.integers(1, int(_PRIME), MINIMA, dtype=np.uint64)[:, None]
_B: Final = _generator.integers(0, int(_PRIME), MINIMA, dtype=np.uint64)[:, None]
_WORD: Final = re.compile(r"\w+")


def text_of(value: Any) -> str:
    """All text in a value, in order; empty when there is none."""
    return "\n".join(_texts(value))


def shingles(text: str) -> frozenset[int]:
    """Hashes of the word triples of a text; of what it has when it is shorter. Case and punctuation do not count."""
    words = _WORD.findall(text.lower())
    if not words:
        return frozenset()
    if len(words) < 3:
        return frozenset((crc32(" ".join(words).encode()),))
    return frozenset(crc32(" ".join(words[n : n + 3]).encode()) for n in range(len(words) - 2))


def jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)


class Neighbourhood:
    """Sets by number, and which of them are probably near to another one."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[int, bytes], list[int]] = {}
        self._last: tuple[frozenset[int], list[tuple[int, bytes]]] = (frozenset(), [])

    def add(self, words: frozenset[int], number: int) -> None:
        for key in self._keys(words):
            self._buckets.setdefault(key, []).append(number)

    def near(self, words: frozenset[int]) -> set[int]:
        return {number for key in self._keys(words) for number in self._buckets.get(key, ())}

    def _keys(self, words: frozenset[int]) -> list[tuple[int, bytes]]:
        if self._last[0] is not words:
            minima = signature(words).reshape(BANDS, -1)
            self._last = (words, [(band, minima[band].tobytes()) for band in range(BANDS)])
        return self._last[1]


def signature(words: frozenset[int]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """`words` is not empty. 31-bit arithmetic in 64: a product cannot overflow."""
    values = np.fromiter(words, dtype=np.uint64, count=len(words)) % _PRIME
    minima: np.ndarray[tuple[int], np.dtype[np.uint64]] = ((_A * values[None, :] + _B) % _PRIME).min(axis=1)
    return minima


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from _texts(value[key])
