"""What a plan would do at today's traffic."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headrace.release.forecast import Forecast, Today, forecast, today
from headrace.release.plans import plan_from
from headrace.types.call import CallStatus
from tests.unit.release.made import START, call

BUSY = Today(calls=5_000, calls_per_second=20.0, users_per_second=5.0, error_rate=0.005)


def of(seen: Today | None = BUSY, **plan: Any) -> Forecast:
    return forecast(plan_from(plan), seen)


def test_today_is_what_buckets_assigned() -> None:
    calls = [call(f"u{n % 5}", at=float(n)) for n in range(10)]
    calls[0] = replace(calls[0], status=CallStatus.FAILED)
    strangers = [call("t", at=-500.0, counted=False), call("s", at=-500.0, shadow_of="tr-1")]
    seen = today([*calls, *strangers], START + 20)
    assert seen == Today(calls=10, calls_per_second=0.5, users_per_second=0.25, error_rate=0.1)
    assert today(strangers, START) is None


def test_a_small_share_waits_for_users_and_the_last_for_proof() -> None:
    found = of(shares=[0.1, 5, 50], min_seconds=60, min_units=20)
    assert [(step.name, step.waits_for) for step in found.steps] == [
        ("0.1 %", "users"),
        ("5 %", "users"),
        ("50 %", "proof"),
    ]
    assert found.steps[0].seconds == pytest.approx(20 / (5 * 0.001))
    assert found.seconds == pytest.approx(sum(step.seconds or 0 for step in found.steps))


def test_harm_is_seen_sooner_the_worse_it_is() -> None:
    (errors,) = (sight for sight in of(shares=[10]).sights if sight.metric == "errors")
    stops = errors.seconds_to_stop
    assert stops["x10"] < stops["x4"] < stops["x2"]  # type: ignore[operator]
    assert stops["x10"] < 120  # type: ignore[operator]
    assert 1 < errors.smallest_ratio < 10  # type: ignore[operator]


def test_more_traffic_sees_smaller_harm() -> None:
    def smallest(per_second: float) -> float:
        found = of(replace(BUSY, calls_per_second=per_second), shares=[50], min_seconds=600)
        return next(sight.smallest_ratio for sight in found.sights if sight.metric == "errors") or 1e9

    assert smallest(200.0) < smallest(5.0)


def test_what_a_person_ends_is_not_foretold() -> None:
    found = of(strategy="manual", shares=[5, 50])
    assert [step.waits_for for step in found.steps] == ["users", "a person", "proof", "a person"]
    assert (found.steps[1].seconds, found.seconds) == (None, None)


@pytest.mark.parametrize("strategy", ["canary", "blue_green", "shadow", "ab", "manual", "preview"])
def test_every_strategy_can_be_foretold_and_without_traffic_nothing_is(strategy: str) -> None:
    assert of(strategy=strategy).steps
    silent = of(None, strategy=strategy)
    assert silent.sights == ()
    assert any(step.seconds is None for step in silent.steps)


def test_nothing_ever_failed_is_no_division_by_zero() -> None:
    found = of(replace(BUSY, error_rate=0.0), shares=[50])
    assert found.seconds is not None
