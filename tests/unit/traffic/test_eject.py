"""What is broken and what is bad luck: streams of calls with known failure rates, by the clock of a simulation."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.traffic.eject import KNOWN_CALLS, Pulse, Slow, broken, divergence, stalled
from headrace.types.failover import Failover

FAST = Slow(usual=0.01, ever=0.01)


def stream(
    *, rate: float, usual: float, seconds: float, seed: int, breaks: float = 1e9, worse: float = 0.0
) -> tuple[float, str]:
    """(seconds after it broke, cause) of the first ejection; (0, "") when there is none."""
    drawn, pulse, ok, now = random.Random(seed), Pulse(), 0, 0.0
    while now < seconds:
        now += drawn.expovariate(rate)
        pulse.sample(now, ok)
        if drawn.random() >= (worse if now > breaks else usual):
            ok += 1
            continue
        pulse.fail(ok)
        if cause := broken(pulse, Failover(), ok):
            return now - breaks, cause
    return 0.0, ""


@pytest.mark.parametrize("usual", [0.0, 0.001, 0.01, 0.05, 0.1])
def test_who_fails_as_always_stays(usual: float) -> None:
    for seed in range(3):
        assert stream(rate=20, usual=usual, seconds=3000, seed=seed) == (0.0, "")


@pytest.mark.parametrize(("usual", "within"), [(0.001, 1.0), (0.05, 1.5)])
def test_who_fails_always_is_gone_within_a_second(usual: float, within: float) -> None:
    for seed in range(10):
        took, cause = stream(rate=20, usual=usual, seconds=400, seed=seed, breaks=300, worse=1.0)
        assert 0 < took < within
        assert "one after the other" in cause


def test_a_half_broken_version_is_gone_within_its_window() -> None:
    causes = set()
    for seed in range(10):
        took, cause = stream(rate=50, usual=0.02, seconds=400, seed=seed, breaks=300, worse=0.45)
        assert 0 < took < 12
        causes.add("usual" in cause)
    assert True in causes


def test_a_version_that_is_bad_from_its_first_call_has_no_past_to_plead() -> None:
    took, _ = stream(rate=20, usual=0.0, seconds=60, seed=1, breaks=0.0, worse=0.6)
    assert 0 < took < 10


def test_what_nobody_calls_is_not_judged_by_a_rate() -> None:
    pulse = Pulse()
    pulse.sample(0.0, 0)
    for number in range(4):
        pulse.fail(number)
    assert broken(pulse, Failover(), 4) == ""


def test_a_total_failure_does_not_become_what_is_usual() -> None:
    pulse, now = Pulse(), 0.0
    for ok in range(1000):
        now += 0.1
        pulse.sample(now, ok)
    for _ in range(1000):
        now += 0.1
        pulse.sample(now, 999)
        pulse.fail(999)
    assert pulse.usual() < 0.005


@given(st.floats(0.0, 1.0), st.floats(0.01, 0.99))
def test_divergence_is_none_for_the_same_and_never_negative(rate: float, other: float) -> None:
    assert divergence(rate, other) >= -1e-12
    assert divergence(other, other) == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=50)
@given(st.lists(st.booleans(), max_size=200))
def test_a_row_is_what_has_no_answer_in_between(calls: list[bool]) -> None:
    pulse, ok, expected = Pulse(), 0, 0
    for good in calls:
        if good:
            ok, expected = ok + 1, 0
        else:
            pulse.fail(ok)
            expected += 1
            assert pulse.in_row == expected
    assert pulse.failed == calls.count(False)


def still(pulse: Pulse, seconds: float, *, ok: int, inside: int, slow: Slow = FAST, start: float = 100.0) -> str:
    """Ticks of a quarter of a second."""
    found = ""
    for tick in range(int(seconds * 4) + 1):
        found = stalled(pulse, Failover(), start + tick / 4, ok=ok, inside=inside, slow=slow)
    return found


def test_a_stall() -> None:
    assert still(Pulse(), 2.75, ok=100, inside=3) == ""
    assert still(Pulse(), 3.5, ok=100, inside=3).startswith("3 calls inside and none answered for 3.")
    assert still(Pulse(), 60, ok=100, inside=0) == "", "nobody is inside"
    assert still(Pulse(), 60, ok=KNOWN_CALLS - 1, inside=3) == "", "nobody knows how fast it is"


def test_a_slow_model_has_more_time_and_a_rare_long_call_alone_too() -> None:
    slow = Slow(usual=4.0, ever=10.0)
    assert still(Pulse(), 19, ok=100, inside=4, slow=slow) == ""
    assert still(Pulse(), 21, ok=100, inside=4, slow=slow) != ""
    assert still(Pulse(), 3.5, ok=100, inside=5, slow=slow) == ""
    assert still(Pulse(), 4.5, ok=100, inside=5, slow=slow) != ""


def test_an_answer_ends_a_stall_and_a_failure_does_not() -> None:
    pulse = Pulse()
    assert still(pulse, 2.5, ok=100, inside=3) == ""
    assert still(pulse, 2.5, ok=101, inside=3, start=102.5) == ""
    pulse.fail(101)
    assert still(pulse, 1.0, ok=101, inside=3, start=105.0) != ""
    assert stalled(pulse, Failover(stall_seconds=0), 200.0, ok=101, inside=3, slow=FAST) == ""
