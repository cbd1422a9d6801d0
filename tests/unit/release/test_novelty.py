"""The note on whether a difference lasts."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.release.arms import seen
from headrace.release.novelty import Course, Part, novelty, part_of
from headrace.types.release import Tally
from headrace.types.score import Arm

DAYS = 10


def days(effects: tuple[float, float], *, share: float = 0.5, units: int = 400, seed: int = 1) -> list[Part]:
    """Parts of a test whose effect moves from the first to the second; the base level drifts, and the ramp widens."""
    random, parts = np.random.default_rng(seed), []
    for day in range(DAYS):
        base = 10 + 3 * np.sin(day)
        effect = effects[0] if day < DAYS // 2 else effects[1]
        candidates = int(units * share * (0.2 + 0.8 * day / DAYS) if share < 0.5 else units * share)
        parts.append(
            (
                seen(Arm(), random.normal(base, 1, units - candidates)),
                seen(Arm(), random.normal(base + effect, 1, candidates)),
            )
        )
    return parts


@pytest.mark.parametrize(
    ("effects", "course"),
    [
        ((0.0, 0.0), Course.STEADY),
        ((0.5, 0.5), Course.STEADY),
        ((0.9, 0.2), Course.FADING),
        ((-0.9, -0.2), Course.FADING),
        ((0.0, 0.6), Course.GROWING),
        ((-0.6, 0.6), Course.TURNED),
    ],
)
def test_the_course_of_a_difference(effects: tuple[float, float], course: Course) -> None:
    assert novelty(days(effects)).course is course


def test_a_ramp_over_a_drifting_level_is_not_a_novelty() -> None:
    found = [novelty(days((0.3, 0.3), share=0.4, seed=seed)).course for seed in range(100)]
    assert sum(course is not Course.STEADY for course in found) <= 5


def test_events_are_values_of_0_and_1() -> None:
    early = Tally(baseline_units=900, baseline_events=90, candidate_units=900, candidate_events=180)
    late = Tally(baseline_units=900, baseline_events=90, candidate_units=900, candidate_events=95)
    found = novelty([part_of(early)] * 2 + [part_of(late)] * 2)
    assert found.course is Course.FADING
    assert found.early.difference == pytest.approx(0.1)
    assert found.early.error == pytest.approx((0.125 / 900) ** 0.5, rel=0.03)


def test_a_few_units_say_nothing() -> None:
    assert novelty([]).course is Course.UNKNOWN
    assert novelty(days((0.9, 0.2), units=20)).course is Course.UNKNOWN
    assert novelty([part_of(Tally(baseline_units=9))]).course is Course.UNKNOWN
