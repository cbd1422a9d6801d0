"""Scores with how sure they are. Called by the compiling process. Pure.

Wilson's interval where every score is 0 or 1; else, and for differences row by row, percentiles of 4,000 resamples
with a fixed seed, so that the same scores give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headrace.types.program import Score

Z = 1.959963984540054
_RESAMPLES = 4_000
_SEED = 20_260


def score_of(values: Sequence[float]) -> Score:
    if not values:
        return Score(mean=0.0, low=0.0, high=1.0, rows=0)
    mean = sum(values) / len(values)
    if set(values) <= {0.0, 1.0}:
        low, high = _wilson(mean, len(values))
    else:
        low, high = _resampled(values)
    return Score(mean=mean, low=low, high=high, rows=len(values))


def gain_of(before: Sequence[float], after: Sequence[float]) -> Score:
    """Of the same rows: after minus before. Few rows that differ in one direction only have no honest interval of
    resamples, so it is widened by the rule of three."""
    if len(before) != len(after):
        raise ValueError(f"{len(before)} rows before, {len(after)} after")
    if not before:
        return Score(mean=0.0, low=-1.0, high=1.0, rows=0)
    differences = [b - a for a, b in zip(before, after, strict=True)]
    low, high = _resampled(differences)
    slack = 3.0 / len(differences)
    if not any(d < 0 for d in differences):
        low = min(low, sum(differences) / len(differences) - slack)
    if not any(d > 0 for d in differences):
        high = max(high, sum(differences) / len(differences) + slack)
    return Score(
        mean=sum(differences) / len(differences), low=max(-1.0, low), high=min(1.0, high), rows=len(differences)
    )


def _wilson(mean: float, rows: int) -> tuple[float, float]:
    centre = mean + Z * Z / (2 * rows)
    spread = Z * math.sqrt(mean * (1 - mean) / rows + Z * Z / (4 * rows * rows))
    scale = 1 + Z * Z / rows
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def _resampled(values: Sequence[float]) -> tuple[float, float]:
    array = np.asarray(values, dtype=float)
    drawn = np.random.default_rng(_SEED).integers(0, len(array), size=(_RESAMPLES, len(array)))
    low, high = np.percentile(array[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
