"""Live figures in virtual time."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.base.clock import ManualClock
from headrace.monitor.live import LOWEST_MS, MAX_SERIES, SECONDS, STEP, LiveStats, bin_of
from headrace.types.call import CallStatus
from tests.control_samples import START, call


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START + 100)


def test_counts_by_variant_and_second(clock: ManualClock) -> None:
    stats = LiveStats(clock)
    base = START + 90
    assert stats.feed(call(n, time=base + n * 0.5, variant="v1" if n % 4 else "v2") for n in range(8)) == 8
    series = stats.endpoint("digits")
    assert set(series) == {"v1", "v2"}
    assert series["v1"].time[0] == base
    assert series["v1"].time == series["v2"].time, "one time axis for all"
    assert series["v1"].time[-1] == START + 99, "the running second is not complete"
    assert series["v1"].calls[:5] == (1, 2, 1, 2, 0)
    assert series["v2"].calls[:5] == (1, 0, 1, 0, 0)
    assert series["v2"].p50_ms[1] is None


def test_errors_and_whose_latency_counts(clock: ManualClock) -> None:
    stats = LiveStats(clock)
    slow = {CallStatus.OK: 10.0, CallStatus.FAILED: 10.0, CallStatus.TIMEOUT: 10.0}
    stats.feed(
        call(n, time=START + 99, status=status, latency_ms=slow.get(status, 0.1)) for n, status in enumerate(CallStatus)
    )
    totals = stats.totals("digits", 10)
    assert (totals.calls, totals.errors) == (5, 3)
    assert totals.error_share == 0.6
    assert totals.p50_ms == pytest.approx(10.0, rel=0.05), "a refused call is fast for no reason"
    assert totals.rate == 0.5


def test_totals_of_a_window_and_of_all_variants(clock: ManualClock) -> None:
    stats = LiveStats(clock)
    old = [call(n, time=START + 10, variant="v1", latency_ms=100.0) for n in range(50)]
    new = [call(n, time=START + 95, variant="v2", latency_ms=1.0) for n in range(50)]
    stats.feed(old + new)
    recent, all_of_it = stats.totals("digits", 10), stats.totals("digits", 300)
    assert (recent.calls, all_of_it.calls) == (50, 100)
    assert set(recent.variants) == {"v2"}
    assert all_of_it.variants["v1"].p99_ms == pytest.approx(100, rel=0.05)
    assert all_of_it.p50_ms == pytest.approx(1, rel=0.05)
    assert all_of_it.p99_ms == pytest.approx(100, rel=0.05)
    empty = stats.totals("nobody")
    assert (empty.calls, empty.p50_ms, empty.error_share, empty.variants) == (0, None, 0.0, {})


def test_an_hour_passes_and_the_ring_turns(clock: ManualClock) -> None:
    stats = LiveStats(clock)
    stats.feed([call(1, time=START + 99)])
    clock.move(SECONDS - 2)
    assert stats.endpoints() == ("digits",)
    clock.move(1)
    assert stats.endpoints() == ()
    assert sum(stats.endpoint("digits")["v1"].calls) == 0
    assert stats.feed([call(2, time=START + 99)]) == 0, "too old"
    stats.feed([call(3, time=START + 99 + SECONDS)])  # the same row of the ring
    assert stats.totals("digits", 5).calls == 1
    clock.move(1)
    assert sum(stats.endpoint("digits")["v1"].calls) == 1


def test_a_clock_that_is_ahead_counts_now(clock: ManualClock) -> None:
    stats = LiveStats(clock)
    stats.feed([call(1, time=START + 5000)])
    assert stats.totals("digits", 5).calls == 1


def test_shadow_copies_are_not_traffic(clock: ManualClock) -> None:
    stats = LiveStats(clock)
    assert stats.feed([call(1, time=START + 99, shadow_of="tr-1")]) == 0


def test_series_are_bounded_and_the_loss_is_counted(clock: ManualClock) -> None:
    stats = LiveStats(clock)
    stats.feed(call(n, endpoint=f"e{n}", time=START + 50 + n / 10) for n in range(MAX_SERIES + 3))
    assert stats.dropped == 3
    assert len(stats.endpoints()) == MAX_SERIES
    assert "e0" not in stats.endpoints()
    assert f"e{MAX_SERIES + 2}" in stats.endpoints()


@given(st.floats(min_value=LOWEST_MS * 1.001, max_value=900_000.0))
def test_a_bin_is_nine_per_cent_wide(latency: float) -> None:
    low = LOWEST_MS * STEP ** bin_of(latency)
    assert low * 0.999 <= latency <= low * STEP * 1.001


@given(st.integers(1, 400), st.integers(0, 10_000))
def test_quantiles_are_within_half_a_bin(count: int, seed: int) -> None:
    rng = random.Random(seed)
    latencies = [math.exp(rng.uniform(-1, 6)) for _ in range(count)]
    stats = LiveStats(ManualClock(START))
    stats.feed(call(n, time=START - 1, latency_ms=latency) for n, latency in enumerate(latencies))
    totals = stats.totals("digits", 10)
    for q, told in ((0.5, totals.p50_ms), (0.99, totals.p99_ms)):
        exact = sorted(latencies)[max(math.ceil(q * count), 1) - 1]
        assert told == pytest.approx(exact, rel=STEP - 1)
