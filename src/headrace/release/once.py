"""The reading of an A/B test at the horizon that was fixed beforehand: once, and then it is over. Pure.

Called for the results page beside the always-valid reading, which is wider, because it may be looked at every day. Both
are shown, so that nobody peeks at this one unawares: before the horizon its interval is of no use. Shares must not have
changed during the test; while they ramp, betting.py and asymptotic.py know how to weigh.
"""

from __future__ import annotations

from math import exp, inf, lgamma, log, log1p, sqrt
from statistics import NormalDist

from headrace.types.release import Tally
from headrace.types.score import Arm, Reading


def of_rates(tally: Tally, alpha: float) -> Reading:
    """Newcombe's interval of two rates from Wilson's (1998, method 10): of use also when an arm has no event."""
    if not tally.baseline_units or not tally.candidate_units:
        return Reading(difference=0.0, low=-1.0, high=1.0, always=False)
    b, b_low, b_high = _wilson(tally.baseline_events, tally.baseline_units, alpha)
    c, c_low, c_high = _wilson(tally.candidate_events, tally.candidate_units, alpha)
    return Reading(
        difference=c - b,
        low=c - b - sqrt((c - c_low) ** 2 + (b_high - b) ** 2),
        high=c - b + sqrt((c_high - c) ** 2 + (b - b_low) ** 2),
        always=False,
    )


def of_means(baseline: Arm, candidate: Arm, alpha: float) -> Reading:
    """Welch's interval of two means. Infinite while an arm has fewer than two units."""
    if min(baseline.units, candidate.units) < 2:
        return Reading(difference=0.0, low=-inf, high=inf, always=False, asymptotic=True)
    b, c = baseline.variance / baseline.units, candidate.variance / candidate.units
    difference = candidate.mean - baseline.mean
    half = 0.0
    if b + c:
        freedom = (b + c) ** 2 / (b**2 / (baseline.units - 1) + c**2 / (candidate.units - 1))
        half = student(1 - alpha / 2, freedom) * sqrt(b + c)
    return Reading(difference=difference, low=difference - half, high=difference + half, always=False, asymptotic=True)


def student(probability: float, freedom: float) -> float:
    """The quantile of Student's t, above one half."""
    low, high = 0.0, 1.0
    while _below(high, freedom) < probability:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, freedom) < probability else (low, middle)
    return high


def _wilson(events: int, units: int, alpha: float) -> tuple[float, float, float]:
    rate, z = events / units, NormalDist().inv_cdf(1 - alpha / 2)
    middle = (rate + z * z / (2 * units)) / (1 + z * z / units)
    half = z * sqrt(rate * (1 - rate) / units + (z / (2 * units)) ** 2) / (1 + z * z / units)
    return rate, middle - half, middle + half


def _below(t: float, freedom: float) -> float:
    """The chance that Student's t is at most this, for a t of at least 0."""
    return 1 - _incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Regularised; by its continued fraction where that converges fast, else by symmetry."""
    if not 0 < x < 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    front = exp(a * log(x) + b * log1p(-x) + lgamma(a + b) - lgamma(a) - lgamma(b)) / a
    value, c, d = 1.0, 1.0, 0.0
    for number in range(400):  # Lentz's method; some tens of rounds are enough for any number of units
        m = number // 2
        if number == 0:
            part = 1.0
        elif number % 2:
            part = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            part = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + part * d)
        c = 1 + part / c
        value *= c * d
        if number and abs(c * d - 1) < 1e-14:
            break
    return front * (value - 1)
