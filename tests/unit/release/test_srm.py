"""Sample-ratio mismatch: fair by enumeration, silent on harmless ramps, loud when the split is wrong."""

from __future__ import annotations

from math import comb, exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.release import srm


@given(st.integers(min_value=0, max_value=60), st.floats(min_value=0.001, max_value=0.999))
def test_the_factor_of_a_step_is_fair(units: int, share: float) -> None:
    expected = sum(
        comb(units, k) * share**k * (1 - share) ** (units - k) * exp(srm.log_bayes_factor([(share, units - k, k)]))
        for k in range(units + 1)
    )
    assert expected == pytest.approx(0.5)  # the first step's part of the whole


def test_harmless_ramps_raise_almost_no_alarm() -> None:
    """One in a thousand at most is expected, over users who come back in each step and a look after every hundredth."""
    random, alarms = np.random.default_rng(1), 0
    for _ in range(1000):
        bucket = random.random(3_000)
        counts: list[tuple[float, int, int]] = []
        alarm = False
        for share in (0.01, 0.05, 0.25, 0.5):
            came = np.cumsum(bucket < share)
            looks = [(share, n - int(came[n - 1]), int(came[n - 1])) for n in range(100, 3_001, 100)]
            alarm |= any(srm.alarming([*counts, look]) for look in looks)
            counts.append(looks[-1])
        alarms += alarm
    assert alarms <= 2


@pytest.mark.parametrize(("true", "units"), [(0.11, 30_000), (0.12, 8_000), (0.08, 12_000)])
def test_a_wrong_split_is_caught(true: float, units: int) -> None:
    random = np.random.default_rng(2)
    caught = 0
    for _ in range(40):
        candidate = int((random.random(units) < true).sum())
        caught += srm.alarming([(0.1, units - candidate, candidate)])
    assert caught >= 32


def test_a_step_gone_wrong_is_seen_behind_steps_that_were_right() -> None:
    right = (0.1, 90_000, 10_000)
    assert not srm.alarming([right, right, right])
    assert srm.alarming([right, right, right, (0.1, 9_000, 1_250)])


def test_nothing_seen_is_no_mismatch() -> None:
    assert srm.log_bayes_factor([]) == 0
    assert srm.log_bayes_factor([(0.0, 50, 0), (1.0, 0, 50)]) < log(srm.ALARM)
