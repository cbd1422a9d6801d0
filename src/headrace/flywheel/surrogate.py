"""Much that is cheap and a little that is sure: means from a judge's scores and a few human labels. Pure.

Called where ratings are few: the shadow of a candidate, judged on every pair, labelled by people on some.

    prediction-powered inference  Angelopoulos, Bates, Fannjiang, Jordan, Zrnic, Science 382 (2023): the judge's mean
                                  over all, corrected by how far it is off where people have labelled; weighed as in
                                  PPI++ (Angelopoulos, Duchi, Zrnic, 2023): a useless judge is given no weight
    inverse propensity            Hájek (1971): each row counts as often as it stands for rows that were not drawn

Both hold whatever the judge does, as long as who is labelled was drawn at random with the propensity that is given:
that is what the review queue records. People who rate unasked are no such sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """`rows` that it was made from; `worth`: how many plain labels would have been as sure."""

    mean: float
    low: float
    high: float
    rows: int
    worth: float


def powered(
    labels: Sequence[float], judged: Sequence[float], unlabelled: Sequence[float], *, alpha: float = 0.05
) -> Estimate:
    """`labels` and `judged` are of the same rows; `unlabelled` are the judge's scores of all others."""
    truth, there, rest = (np.asarray(each, dtype=float) for each in (labels, judged, unlabelled))
    if len(truth) != len(there):
        raise ValueError(f"{len(truth)} labels for {len(there)} judged rows")
    if len(truth) < 2:
        return Estimate(mean=float(truth.mean()) if len(truth) else 0.0, low=-inf, high=inf, rows=len(truth), worth=0.0)
    power = _power(truth, there, rest)
    errors = truth - power * there
    mean = float(errors.mean() + (power * rest.mean() if len(rest) else 0.0))
    variance = float(errors.var(ddof=1) / len(truth))
    variance += float(power**2 * rest.var(ddof=1) / len(rest)) if len(rest) > 1 else 0.0
    plain = float(truth.var(ddof=1))
    half = NormalDist().inv_cdf(1 - alpha / 2) * sqrt(variance)
    worth = plain / variance if variance else float(len(truth))
    return Estimate(mean=mean, low=mean - half, high=mean + half, rows=len(truth) + len(rest), worth=worth)


def weighted(values: Sequence[float], propensities: Sequence[float], *, alpha: float = 0.05) -> Estimate:
    """The mean over all rows of those that were drawn, each with the probability that it had."""
    drawn, chance = np.asarray(values, dtype=float), np.asarray(propensities, dtype=float)
    if len(drawn) != len(chance):
        raise ValueError(f"{len(drawn)} values with {len(chance)} propensities")
    if len(chance) and not ((chance > 0) & (chance <= 1)).all():
        raise ValueError(f"a propensity is {chance[(chance <= 0) | (chance > 1)][0]!r}; allowed: above 0, up to 1")
    if len(drawn) < 2:
        return Estimate(mean=float(drawn.mean()) if len(drawn) else 0.0, low=-inf, high=inf, rows=len(drawn), worth=0.0)
    weights = 1 / chance
    total = weights.sum()
    mean = float((weights * drawn).sum() / total)
    variance = float((weights**2 * (drawn - mean) ** 2).sum() / total**2) * len(drawn) / (len(drawn) - 1)
    half = NormalDist().inv_cdf(1 - alpha / 2) * sqrt(variance)
    return Estimate(
        mean=mean, low=mean - half, high=mean + half, rows=len(drawn), worth=float(total**2 / (weights**2).sum())
    )


def _power(truth: np.ndarray, there: np.ndarray, rest: np.ndarray) -> float:
    """How far to trust the judge: what makes the interval narrowest, between not at all and entirely."""
    spread = np.concatenate([there, rest]).var(ddof=1)
    if not len(rest) or not spread:
        return 0.0
    together = float(np.cov(truth, there, ddof=1)[0, 1])
    return float(np.clip(together / ((1 + len(truth) / len(rest)) * spread), 0.0, 1.0))
