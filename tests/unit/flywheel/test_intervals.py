"""Intervals of paired differences: against published values, against simulation, at the edges."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.flywheel.intervals import bootstrap, compare, mcnemar, newcombe, weigh, wilson
from headrace.types.turn import Metric

bits = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def test_newcombe_as_published() -> None:
    """Newcombe 1998 (paired), table II, method 10: 36, 12, 2, 0 of 50."""
    low, high = newcombe(36, 12, 2, 50, 0.05)
    assert (low, high) == (pytest.approx(0.0569, abs=1e-3), pytest.approx(0.3404, abs=1e-3))


@given(bits)
def test_the_interval_holds_the_difference(rows: list[tuple[bool, bool]]) -> None:
    gain = compare("golden", Metric.EXACT, [float(b) for b, _ in rows], [float(c) for _, c in rows], 0.05)
    assert -1.0 <= gain.low <= gain.difference <= gain.high <= 1.0
    assert gain.better + gain.worse <= gain.rows
    assert 0.0 < gain.p <= 1.0
    turned = compare("golden", Metric.EXACT, [float(c) for _, c in rows], [float(b) for b, _ in rows], 0.05)
    assert turned.low == pytest.approx(-gain.high)
    assert turned.p == pytest.approx(gain.p)


@pytest.mark.parametrize("correlated", [0.0, 0.6])
def test_newcombe_covers(correlated: float) -> None:
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        before = generator.random(80) < 0.2
        again = generator.random(80) < correlated
        after = np.where(again, before, generator.random(80) < 0.15)
        true = (1 - correlated) * (0.15 - 0.2)
        gain = compare("x", Metric.EXACT, before.astype(float), after.astype(float), 0.05)
        held += gain.low <= true <= gain.high
    assert held >= 0.93 * 400


def test_mcnemar_is_the_binomial() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(8, 2) == pytest.approx(2 * sum(comb(10, k) for k in range(3)) / 2**10)
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(2, 8) == mcnemar(8, 2)


def test_distances_are_bootstrapped() -> None:
    generator = np.random.default_rng(5)
    differences = generator.normal(-0.3, 1.0, 400)
    low, high = bootstrap(differences, 0.05)
    half = 1.96 * differences.std() / 20
    assert low == pytest.approx(differences.mean() - half, abs=0.02)
    assert high == pytest.approx(differences.mean() + half, abs=0.02)
    assert bootstrap(differences, 0.05) == (low, high), "the seed is fixed"
    gain = compare("golden", Metric.ABSOLUTE, np.zeros(400), differences - differences.min(), 0.05)
    assert gain.worse == 399


def test_drawn_rows_are_weighed() -> None:
    """Unhappy users' rows are drawn ten times as often: what they gain is not what all gain."""
    generator, held = np.random.default_rng(3), 0
    for _ in range(100):
        unhappy = generator.random(3000) < 0.3
        before = unhappy.astype(float)
        after = np.where(unhappy, generator.random(3000) < 0.5, generator.random(3000) < 0.05).astype(float)
        chance = np.where(unhappy, 0.2, 0.02)
        taken = generator.random(3000) < chance
        found = weigh("drawn", Metric.EXACT, *(each[taken].tolist() for each in (before, after, chance)))
        held += found.low <= float((after - before).mean()) <= found.high
    assert held >= 90
    unmoved = weigh("drawn", Metric.EXACT, [0.0] * 30, [0.0] * 30, [0.1] * 30)
    assert (unmoved.low, unmoved.high) == (pytest.approx(-0.1), pytest.approx(0.1)), "the rule of three"
    assert weigh("drawn", Metric.EXACT, [], [], []).rows == 0


def test_no_row_says_nothing() -> None:
    gain = compare("golden", Metric.EXACT, [], [], 0.05)
    assert (gain.rows, gain.low, gain.high, gain.evidence) == (0, -1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="1 rows of the baseline"):
        compare("golden", Metric.EXACT, [1.0], [], 0.05)
    assert wilson(0, 10, 0.05)[1] == pytest.approx(0.0, abs=1e-12)
