"""E-values are kept as natural logarithms: how these are averaged. Pure; called by evalue.py and betting.py."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import exp, log


def mean(logs: Sequence[float]) -> float:
    """log(mean(exp(logs))) without overflow; 0, which says nothing, of none."""
    if not any(logs):
        return 0.0  # nothing seen yet, as in all steps to come
    return _mean(tuple(logs))


@lru_cache(maxsize=4096)
def _mean(logs: tuple[float, ...]) -> float:
    """Asked for again and again: of steps that are over, and by whoever looks at the same evidence."""
    top = max(logs)
    return top + log(sum([exp(each - top) for each in logs]) / len(logs))
