"""What is true of all calls, from the few that somebody looked at. Pure; called by the review page and a turn's report.

Users who rate are not a sample: they rate what annoys or delights them. Calls drawn for review are one, each with the
probability with which it was drawn.

    weighted  each by the inverse of its probability (Horvitz and Thompson 1952; as a ratio: Hájek 1971): unbiased
              whatever was drawn more often
    powered   much that is cheap and a little that is sure: a judge's mean over all calls, corrected by how far off it
              is where people have labelled (prediction-powered inference: Angelopoulos, Bates, Fannjiang, Jordan,
              Zrnic, Science 382, 2023), and trusted as far as that makes the interval narrower (PPI++: Angelopoulos,
              Duchi, Zrnic, 2023). It holds whatever the judge does
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace.types.errors import BadInput

Z = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its 95 % interval. `effective`: how many cases of equal weight would say as much."""

    mean: float
    low: float
    high: float
    cases: int
    effective: float


def weighted(values: Sequence[float], propensities: Sequence[float]) -> Estimate | None:
    """`propensities`: the probability with which each case was drawn. None without a case."""
    _check(values, propensities)
    if not values:
        return None
    weights = [1 / chance for chance in propensities]
    total = math.fsum(weights)
    mean = math.fsum(w * v for w, v in zip(weights, values, strict=True)) / total
    effective = total * total / math.fsum(w * w for w in weights)
    if set(values) <= {0.0, 1.0}:
        low, high = _wilson(mean, effective)
    else:
        spread = math.fsum(w * w * (v - mean) ** 2 for w, v in zip(weights, values, strict=True))
        width = Z * math.sqrt(spread) / total * math.sqrt(len(values) / max(1, len(values) - 1))
        low, high = mean - width, mean + width
    return Estimate(mean=mean, low=low, high=high, cases=len(values), effective=effective)


def powered(
    labels: Sequence[float],
    judged: Sequence[float],
    others: Sequence[float],
    propensities: Sequence[float] | None = None,
) -> Estimate | None:
    """`labels` and `judged` are of the same cases; `others` are the judge's words of all other calls. None for fewer
    than two labels. `effective`: how many labels without a judge would say as much."""
    if len(labels) != len(judged):
        raise BadInput(f"{len(labels)} labels for {len(judged)} judged cases", field="judged")
    _check(labels, propensities or [1.0] * len(labels))
    if len(labels) < 2:
        return None
    truth, there, rest = (np.asarray(each, dtype=float) for each in (labels, judged, others))
    weights = 1 / np.asarray(propensities, dtype=float) if propensities else np.ones(len(truth))
    trust = _trust(truth, there, rest)
    everywhere = np.concatenate([there, rest]) if propensities else rest
    mean, variance = _mean_of(truth - trust * there, weights)
    if trust:
        mean += trust * float(everywhere.mean())
        variance += trust**2 * float(everywhere.var(ddof=1)) / len(everywhere)
    plain = _mean_of(truth, weights)[1]
    effective = len(truth) * plain / variance if variance and plain else float(len(truth))
    if set(labels) <= {0.0, 1.0}:
        share = min(1.0, max(0.0, mean))
        cases = share * (1 - share) / variance if variance and 0 < share < 1 else float(len(truth))
        low, high = _wilson(share, cases)
        return Estimate(mean=share, low=low, high=high, cases=len(truth) + len(rest), effective=effective)
    half = Z * math.sqrt(variance)
    return Estimate(mean=mean, low=mean - half, high=mean + half, cases=len(truth) + len(rest), effective=effective)


def _mean_of(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """And its variance."""
    total, count = weights.sum(), len(values)
    mean = float((weights * values).sum() / total)
    spread = float((weights**2 * (values - mean) ** 2).sum() / total**2)
    return mean, spread * count / (count - 1)


def _trust(truth: np.ndarray, there: np.ndarray, rest: np.ndarray) -> float:
    """In the judge: what makes the interval narrowest, between none and all."""
    if not len(rest):
        return 0.0
    spread = np.concatenate([there, rest]).var(ddof=1)
    if not spread:
        return 0.0
    together = float(np.cov(truth, there, ddof=1)[0, 1])
    return float(np.clip(together / ((1 + len(truth) / len(rest)) * spread), 0.0, 1.0))


def _check(values: Sequence[float], propensities: Sequence[float]) -> None:
    if len(values) != len(propensities):
        raise BadInput(f"{len(values)} values and {len(propensities)} propensities", field="propensities")
    for chance in propensities:
        if not 0 < chance <= 1:
            raise BadInput(f"a propensity is {chance!r}; allowed: above 0, up to 1", field="propensities")


def _wilson(share: float, n: float) -> tuple[float, float]:
    """For a share: also right at 0 and 1, where the spread of what was seen is nought."""
    z2 = Z * Z
    middle, width = share + z2 / (2 * n), Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, (middle - width) / (1 + z2 / n)), min(1.0, (middle + width) / (1 + z2 / n))
