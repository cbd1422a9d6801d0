"""The fixed-horizon reading: against published numbers, and its coverage when read once (and not when peeked)."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from headrace.release import once
from headrace.release.arms import seen
from headrace.types.release import Tally
from headrace.types.score import Arm


@pytest.mark.parametrize(
    ("probability", "freedom", "quantile"),
    [
        (0.975, 1, 12.7062),  # tables of Student's distribution
        (0.975, 5, 2.5706),
        (0.995, 30, 2.7500),
        (0.95, 2.5, 2.5582),
        (0.975, 1e6, 1.9600),
    ],
)
def test_the_quantiles_are_students(probability: float, freedom: float, quantile: float) -> None:
    assert once.student(probability, freedom) == pytest.approx(quantile, abs=6e-5)


@pytest.mark.parametrize(
    ("candidate", "baseline", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),  # Newcombe 1998, table II, method 10
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_two_rates_are_newcombes(
    candidate: tuple[int, int], baseline: tuple[int, int], low: float, high: float
) -> None:
    tally = Tally(
        candidate_events=candidate[0],
        candidate_units=candidate[1],
        baseline_events=baseline[0],
        baseline_units=baseline[1],
    )
    reading = once.of_rates(tally, 0.05)
    assert (reading.low, reading.high) == pytest.approx((low, high), abs=6e-5)
    assert not reading.always


def test_two_means_are_welchs() -> None:
    """By hand: variances of the means 16/6 and 5.632/12, so a standard error of √3.136 and 6.819 degrees of freedom."""
    baseline = Arm(units=6, mean=10.0, squares=5 * 16.0)
    candidate = Arm(units=12, mean=15.2, squares=11 * 5.6320)
    reading = once.of_means(baseline, candidate, 0.05)
    assert reading.difference == pytest.approx(5.2)
    half = once.student(0.975, 6.8189) * 3.136**0.5
    assert (reading.low, reading.high) == pytest.approx((5.2 - half, 5.2 + half), abs=1e-3)


def test_coverage_when_read_once() -> None:
    random, missed = np.random.default_rng(4), 0
    for _ in range(400):
        arms = [seen(Arm(), random.exponential(1.0, units)) for units in (400, 80)]
        reading = once.of_means(arms[0], arms[1], 0.05)
        missed += not reading.low <= 0 <= reading.high
    assert 8 <= missed <= 34


def test_nothing_seen_says_nothing() -> None:
    assert (once.of_rates(Tally(), 0.05).low, once.of_rates(Tally(), 0.05).high) == (-1, 1)
    assert once.of_means(Arm(), Arm(units=1, mean=3.0), 0.05).high == inf
    same = Arm(units=3, mean=2.0)
    assert once.of_means(same, same, 0.05).low == 0
