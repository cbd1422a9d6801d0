"""Sample-ratio mismatch: did units come to the arms in the shares that they should have? Pure.

Called by advance.py. An alarm says that the comparison is not one of equals (calls of one arm are lost, a proxy sends
some users elsewhere): conclusions of an A/B test are void, and a person should look. It never rolls anything back.

In a step with the share q each unit is on the candidate with probability q. Against that stands any other share, with
a beta prior around q worth STRENGTH units; the Bayes factor is a test martingale (Lindon & Malek 2022), so looking
again and again does no harm. The steps' factors are not multiplied, since the same users come back in the next step:
the largest counts, each divided by its (n + 1)(n + 2), whose inverses sum to one. By the union bound the chance that
an alarm is ever false is at most 1 / ALARM, whatever the steps have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma, log

ALARM = 1000.0
STRENGTH = 100.0  # units; the other share is thought to be within some tenths of the odds


def log_bayes_factor(steps: Sequence[tuple[float, int, int]]) -> float:
    """`steps`: for each begun, in order, (share, distinct units of the baseline, of the candidate) so far."""
    found = [
        _step(share, baseline, candidate) - log((number + 1) * (number + 2))
        for number, (share, baseline, candidate) in enumerate(steps)
    ]
    return max(found, default=0.0)


def alarming(steps: Sequence[tuple[float, int, int]]) -> bool:
    return log_bayes_factor(steps) >= log(ALARM)


def _step(share: float, baseline: int, candidate: int) -> float:
    if not 0 < share < 1:
        return 0.0
    on, off = STRENGTH * share, STRENGTH * (1 - share)
    marginal = _log_beta(on + candidate, off + baseline) - _log_beta(on, off)
    return marginal - candidate * log(share) - baseline * log(1 - share)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
