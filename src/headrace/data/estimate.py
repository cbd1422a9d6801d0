"""What is true of all calls, from the few that somebody looked at. Pure; called by the review page and a turn's report.

Users who rate are not a sample: they rate what annoys or delights them. Calls drawn for review are one, each with the
probability with which it was drawn. Weighing each by its inverse (Horvitz and Thompson 1952; as a ratio: Hájek 1971)
makes the estimate unbiased whatever was drawn more often.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
    if len(values) != len(propensities):
        raise BadInput(f"{len(values)} values and {len(propensities)} propensities", field="propensities")
    for chance in propensities:
        if not 0 < chance <= 1:
            raise BadInput(f"a propensity is {chance!r}; allowed: above 0, up to 1", field="propensities")
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


def _wilson(share: float, n: float) -> tuple[float, float]:
    """For a share: also right at 0 and 1, where the spread of what was seen is nought."""
    z2 = Z * Z
    middle, width = share + z2 / (2 * n), Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, (middle - width) / (1 + z2 / n)), min(1.0, (middle + width) / (1 + z2 / n))
