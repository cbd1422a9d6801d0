"""E-values are kept as natural logarithms: how these are averaged. Pure; called by evalue.py and betting.py."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log


def mean(logs: Sequence[float]) -> float:
    """log(mean(exp(logs))) without overflow; 0, which says nothing, of none."""
    if not any(logs):
        return 0.0  # nothing seen yet, as in all steps to come
    top = max(logs)
    return top + log(sum(exp(each - top) for each in logs) / len(logs))
