"""The numbers that one may quote, and when."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from headrace.release.advance import advance
from headrace.release.novelty import Course
from headrace.release.plans import plan_from
from headrace.release.results import results
from headrace.types.release import Cohort, Interval, Phase, Release, Scores, Tally
from headrace.types.score import Score
from headrace.types.strategy import Direction, MetricKind, MetricSpec
from tests.unit.release.made import interval, release

BOUGHT = MetricSpec(name="bought", kind=MetricKind.RATE, event="purchase", direction=Direction.HIGHER)
SPENT = MetricSpec(name="spent", kind=MetricKind.VALUE, event="basket", direction=Direction.HIGHER, margin=1.0)


def ab(*metrics: MetricSpec, min_units: int = 1_000) -> Release:
    plan = plan_from({"strategy": "ab", "min_seconds": 10, "min_units": min_units})
    return release(replace(plan, metrics=(*plan.metrics, *metrics)))


def look(at: float, units: int, *events: int, **more: Any) -> Interval:
    tally = Tally(baseline_units=units, candidate_units=units, baseline_events=events[0], candidate_events=events[1])
    late = (Cohort(step=0, about="purchase", release=tally, step_wise=tally),)
    return interval(at, late=late, called=more.pop("called", (units, units)), exposed=(units, units), **more)


def after(item: Release, *looks: Interval) -> Release:
    for seen in looks:
        item = advance(item, seen, seen.end).release
    return item


def of(item: Release, name: str, *looks: Interval) -> Any:
    return next(each for each in results(item, looks).metrics if each.spec.name == name)


def test_before_the_horizon_only_the_interval_that_is_always_valid_is_given() -> None:
    item = after(ab(BOUGHT), look(5, 900, 90, 120))
    found = of(item, "bought")
    assert (results(item).at_horizon, found.fixed) == (False, None)
    assert (found.baseline, found.candidate) == (0.1, pytest.approx(120 / 900))
    assert found.always.asymptotic
    assert found.always.low < found.always.difference < found.always.high
    assert found.always.difference == pytest.approx(30 / 900)


def test_at_the_horizon_the_fixed_interval_is_narrower() -> None:
    item = after(ab(BOUGHT), look(11, 4_000, 400, 520))
    assert item.phase is Phase.PAUSED
    found = of(item, "bought")
    assert results(item).at_horizon
    assert found.fixed.difference == pytest.approx(found.always.difference) == pytest.approx(0.03)
    assert found.always.low < found.fixed.low < 0.03 < found.fixed.high < found.always.high
    assert found.fixed.low > 0


@pytest.mark.parametrize("bounds", [{}, {"low": 0.0, "high": 20.0}])
def test_means(bounds: dict[str, float]) -> None:
    rng = Random(7)
    values = [Score(candidate=n % 2 == 1, value=rng.uniform(4, 8) + (n % 2)) for n in range(4_000)]
    scores = (Scores(step=0, about="basket", scores=tuple(values)),)
    item = after(ab(replace(SPENT, **bounds)), look(11, 2_000, 0, 0, scores=scores))
    found = of(item, "spent")
    assert (found.baseline_units, found.candidate_units) == (2_000, 2_000)
    assert (found.baseline, found.candidate) == (pytest.approx(6, abs=0.1), pytest.approx(7, abs=0.1))
    for reading in (found.fixed, found.always):
        assert reading.low < 1 < reading.high
        assert reading.low > 0
    assert found.always.asymptotic == (not bounds)


def test_a_ramp_has_no_interval_of_events() -> None:
    item = after(release(), look(11, 1_000, 10, 10))
    assert of(item, "errors").always is None
    assert of(item, "errors").fixed is None


def test_the_split_is_part_of_the_result() -> None:
    item = after(ab(), interval(5, exposed=(900, 300)))
    assert results(item).split.alarm
    assert not results(after(ab(), interval(5, exposed=(500, 500)))).split.alarm


def test_a_difference_that_wears_off_is_noted() -> None:
    looks = [look(n, 500, 50, 150 if n < 20 else 50, called=(500 * n, 500 * n)) for n in range(1, 41)]
    item = after(ab(BOUGHT, min_units=10**6), *looks)
    assert of(item, "bought", *looks).novelty.course is Course.FADING
    assert of(item, "bought").novelty.course is Course.UNKNOWN
