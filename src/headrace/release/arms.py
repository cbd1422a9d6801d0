"""From scores to the terms that every test of a mean is made of. Pure.

Called by betting.py and asymptotic.py. With the share q, whether a unit has the candidate, A, is drawn with probability
q by its hash. For a guess m of the mean that knows only the past, the term

    z = (A - q) (y - m)        has the expectation  q (1 - q) x difference,

whatever the share, the base level, its drift, and the guess: these only change how much it varies. (It is the
inverse-propensity score, times q (1 - q), its precision; so a step at 1 % weighs as little as it knows.) q (1 - q) is
the information of one score.

A unit counts once: with the same unit again A is not drawn again. That is the caller's to see to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.types.score import Arm, Score

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def split(scores: Sequence[Score]) -> tuple[Bools, Floats]:
    """Arms and values. One that is not a number would make all that follow none, so it is left out."""
    candidate = np.fromiter((score.candidate for score in scores), np.bool_, len(scores))
    values = np.fromiter((score.value for score in scores), np.float64, len(scores))
    known = np.isfinite(values)
    return candidate[known], values[known]


def seen(arm: Arm, values: Floats) -> Arm:
    """With more values; the moments are merged, not summed, so that large values do not cancel (Chan et al. 1979)."""
    count = len(values)
    if not count:
        return arm
    mean = float(values.mean())
    squares = float(((values - mean) ** 2).sum())
    units, step = arm.units + count, mean - arm.mean
    return Arm(
        units=units,
        mean=arm.mean + step * count / units,
        squares=arm.squares + squares + step * step * arm.units * count / units,
    )


def guesses(values: Floats, *, total: float, units: float) -> Floats:
    """For each value the mean of all before it, in this batch and, with their `total`, earlier."""
    before = total + np.cumsum(values) - values
    guess: Floats = before / (units + np.arange(len(values)))
    return guess


def terms(candidate: Bools, values: Floats, guess: Floats, share: float | Floats) -> Floats:
    term: Floats = (candidate - share) * (values - guess)
    return term


def left(candidate: Bools) -> Floats:
    """For each unit, in this order, the share of the candidate's among it and those after it."""
    after = np.arange(len(candidate), 0, -1)
    share: Floats = np.cumsum(candidate[::-1])[::-1] / after
    return share
