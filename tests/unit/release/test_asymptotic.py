"""The difference of two means without bounds: false alarms and coverage on skewed values, and its silence before."""

from __future__ import annotations

from dataclasses import replace
from math import inf, log

import msgspec
import numpy as np
import pytest

from bench.scores import Scored, ScoreScene, revenue, scored
from headrace.release import asymptotic
from headrace.types.errors import BadInput
from headrace.types.score import Normal, Score

RELEASES = 300
NEW = asymptotic.begin(margin=1.0, higher_is_better=True)
SCENE = ScoreScene(draw=revenue, users=6000, mean=10.0, alike=1.0, shares=(0.05, 0.25, 0.5))


def walk(stream: Scored, state: Normal, looks: int) -> list[Normal]:
    """The state after each look; an interval never spans two shares."""
    states = []
    for part in np.array_split(np.arange(len(stream.values)), looks):
        state = asymptotic.learn(state, stream.candidate[part], stream.values[part], float(stream.share[part[0]]))
        states.append(state)
    return states


def test_false_alarms_and_coverage_on_skewed_values() -> None:
    alarms, missed = {0.05: 0, 0.01: 0}, 0
    for seed in range(RELEASES):
        states = walk(scored(SCENE, seed), NEW, 30)
        most = max(asymptotic.harm(state) for state in states)
        for alpha in alarms:
            alarms[alpha] += most >= log(1 / alpha)
        missed += any(not low <= 0 <= high for low, high in (asymptotic.interval(state, 0.05) for state in states))
    assert alarms[0.05] <= 0.05 * RELEASES, alarms
    assert alarms[0.01] <= 0.02 * RELEASES, alarms  # 3 of 300 are expected at most; it is asymptotic
    assert missed <= 0.05 * RELEASES, missed


def test_a_candidate_worse_by_the_margin_is_rarely_proven_not_worse() -> None:
    scene = replace(SCENE, effect=-1.0, shares=(0.5,), users=3000)
    proven = 0
    for seed in range(RELEASES):
        proven += max(asymptotic.not_worse(state) for state in walk(scored(scene, seed), NEW, 15)) >= log(20)
    assert proven <= 0.05 * RELEASES


def test_harm_and_its_absence_are_found() -> None:
    worse = replace(SCENE, effect=-2.5)
    assert np.median([asymptotic.harm(walk(scored(worse, seed), NEW, 6)[-1]) for seed in range(40)]) >= log(100)
    state = asymptotic.begin(margin=2.0, higher_is_better=True)
    assert np.median([asymptotic.not_worse(walk(scored(SCENE, seed), state, 6)[-1]) for seed in range(40)]) >= log(20)


def test_the_interval_narrows_around_the_difference() -> None:
    scene = replace(SCENE, effect=3.0, users=40_000, shares=(0.5,), drift=0.0)
    reading = asymptotic.reading(walk(scored(scene, 1), NEW, 4)[-1], 0.05)
    assert reading.low < 3 < reading.high
    assert reading.high - reading.low < 2
    assert reading.asymptotic
    assert reading.always


def test_it_says_nothing_before_it_has_seen_enough() -> None:
    scores = [Score(candidate=number % 2 == 0, value=float(number % 7)) for number in range(2 * asymptotic.LEAST - 2)]
    state = asymptotic.add(NEW, scores, 0.5)
    assert asymptotic.harm(state) == asymptotic.not_worse(state) == 0
    assert asymptotic.interval(state, 0.05) == (-inf, inf)
    more = asymptotic.add(state, scores[:2], 0.5)
    assert asymptotic.interval(more, 0.05)[1] < inf


def test_where_the_middle_lies_does_not_matter() -> None:
    stream = scored(SCENE, 3)
    far = walk(replace(stream, values=stream.values + 1e6), NEW, 9)[-1]
    near = walk(stream, NEW, 9)[-1]
    assert asymptotic.harm(far) == pytest.approx(asymptotic.harm(near), rel=1e-4)
    assert asymptotic.interval(far, 0.05) == pytest.approx(asymptotic.interval(near, 0.05), rel=1e-4)


def test_which_way_is_better_only_mirrors() -> None:
    stream = scored(SCENE, 4)
    good = walk(stream, NEW, 9)[-1]
    bad = walk(replace(stream, values=-stream.values), replace(NEW, higher_is_better=False), 9)[-1]
    assert asymptotic.harm(bad) == pytest.approx(asymptotic.harm(good))
    assert asymptotic.difference(bad) == pytest.approx(-asymptotic.difference(good))


def test_scores_may_come_in_any_batches_and_a_state_is_stored() -> None:
    stream = scored(replace(SCENE, shares=(0.2,)), 5)
    at_once, in_parts = walk(stream, NEW, 1)[-1], walk(stream, NEW, 1201)[-1]
    assert asymptotic.harm(in_parts) == pytest.approx(asymptotic.harm(at_once))
    assert asymptotic.interval(in_parts, 0.05) == pytest.approx(asymptotic.interval(at_once, 0.05))
    assert msgspec.json.decode(msgspec.json.encode(in_parts), type=Normal) == in_parts


def test_the_best_candidate_has_no_e_value_of_harm_left() -> None:
    """The normal distribution function is 0 in floats there: no error, and no harm."""
    scores = [Score(candidate=c, value=1000.0 * c + n % 3) for n in range(5000) for c in (True, False)]
    state = asymptotic.add(NEW, scores, 0.5)
    assert asymptotic.harm(state) < -100 or asymptotic.harm(state) < 0
    assert asymptotic.not_worse(state) > log(1e6)


def test_a_margin_is_not_negative() -> None:
    with pytest.raises(BadInput, match="margin"):
        asymptotic.begin(margin=-1, higher_is_better=True)
