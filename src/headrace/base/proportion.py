"""A share that was seen in a sample, and between what bounds it may be. Pure.

Called where a rate is shown with what its sample allows to say.
"""

from __future__ import annotations

from math import sqrt

Z = 1.959964  # 95 %, two-sided


def wilson(events: int, trials: int, z: float = Z) -> tuple[float, float, float]:
    """The share, its lower and its upper bound (Wilson 1927). Of no trials: nothing is known."""
    if trials <= 0:
        return 0.0, 0.0, 1.0
    share, square = events / trials, z * z
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = z / (1 + square / trials) * sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    low = 0.0 if events == 0 else max(0.0, middle - half)
    return share, low, 1.0 if events == trials else min(1.0, middle + half)
