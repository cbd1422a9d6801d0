"""What the dry run says beforehand agrees with what simulated releases then take."""

from __future__ import annotations

from dataclasses import replace
from math import inf, log
from statistics import median

import numpy as np
import pytest

from bench.release import e_value, in_default_plan
from bench.scores import ScoreScene, scored, thumbs
from bench.streams import Scene, releases
from headrace.release import arms, asymptotic, betting, evalue, power
from headrace.release.power import Traffic, Values

TRAFFIC = Traffic(per_second=20, share=0.1)
RATINGS = Values(mean=0.8, deviation=0.4, low=0, high=1, higher_is_better=True)
LIMIT = log(60)


@pytest.mark.parametrize(("ratio", "tolerance"), [(4.0, 0.3), (10.0, 0.3)])
def test_times_to_harm_are_those_of_simulated_releases(ratio: float, tolerance: float) -> None:
    limit = in_default_plan(0.05)
    expected = power.seconds_to_harm(TRAFFIC, rate=0.005, ratio=ratio, limit=limit)
    scene = Scene(ratio=ratio, look=5, seconds=1200)
    ends = [e_value(limit)(seen) for seen in releases(scene, 80)]
    found = median(inf if end is None else end for end in ends)
    assert found == pytest.approx(expected + scene.look / 2, rel=tolerance)


def test_times_to_a_proof_are_those_of_simulated_units() -> None:
    random, limit = np.random.default_rng(3), log(20)
    expected = power.seconds_to_tolerable(Traffic(per_second=1, share=1), rate=0.003, tolerance=0.01, limit=limit)
    times = []
    for _ in range(60):
        bad = np.cumsum(random.random(8000) < 0.003)
        good = np.arange(1, 8001) - bad
        logs = [good * np.log(1 + bet / 0.99 * 0.01) + bad * np.log(1 - bet / 0.99 * 0.99) for bet in evalue.BETS]
        times.append(int(np.argmax(np.logaddexp.reduce(logs) - log(len(logs)) >= limit)))
    assert median(times) == pytest.approx(expected, rel=0.3)


def test_times_to_a_worse_mean_are_those_of_simulated_scores() -> None:
    scene = ScoreScene(draw=thumbs, mean=0.2, effect=0.1, alike=0.0, drift=0.0, users=20_000, shares=(0.3,))
    values = Values(mean=0.2, deviation=0.4, low=0, high=1, higher_is_better=False)
    expected = power.seconds_to_worse_mean(Traffic(per_second=1, share=0.3), values, difference=0.1, limit=LIMIT)
    times = []
    for seed in range(60):
        stream = scored(scene, seed)
        guess = arms.guesses(stream.values, total=0.5, units=1)
        term = arms.terms(stream.candidate, stream.values, guess, stream.share)
        harm, _ = betting.factors(term, guess, stream.share, 0.0)
        times.append(int(np.argmax(np.logaddexp.reduce(np.cumsum(harm, axis=1)) - log(len(harm)) >= LIMIT)))
    assert median(times) == pytest.approx(expected, rel=0.3)


def test_the_smallest_difference_is_the_one_found_in_that_time() -> None:
    ratio = power.smallest_ratio(TRAFFIC, rate=0.005, seconds=3600, limit=LIMIT)
    assert power.seconds_to_harm(TRAFFIC, rate=0.005, ratio=ratio, limit=LIMIT, power=0.8) <= 3600
    assert power.seconds_to_harm(TRAFFIC, rate=0.005, ratio=ratio * 0.98, limit=LIMIT, power=0.8) > 3600
    difference = power.smallest_difference(TRAFFIC, RATINGS, seconds=3600, limit=LIMIT)
    takes = power.seconds_to_worse_mean(TRAFFIC, RATINGS, difference=difference, limit=LIMIT, power=0.8)
    assert takes == pytest.approx(3600, rel=0.01)


def test_more_of_anything_is_sooner() -> None:
    def takes(traffic: Traffic = TRAFFIC, rate: float = 0.005, ratio: float = 3.0, limit: float = LIMIT) -> float:
        return power.seconds_to_harm(traffic, rate=rate, ratio=ratio, limit=limit)

    assert takes(replace(TRAFFIC, per_second=40)) == pytest.approx(takes() / 2)
    assert takes(replace(TRAFFIC, share=0.3)) < takes()
    assert takes(rate=0.01) < takes()
    assert takes(ratio=5) < takes(ratio=4) < takes()
    assert takes(limit=log(20)) < takes()
    assert power.seconds_to_harm(TRAFFIC, rate=0.005, ratio=3, limit=LIMIT, power=0.9) > takes()


def test_what_cannot_be_found_takes_for_ever() -> None:
    assert power.seconds_to_harm(TRAFFIC, rate=0.0, ratio=3, limit=LIMIT) == inf
    assert power.seconds_to_harm(TRAFFIC, rate=0.005, ratio=1.0, limit=LIMIT) == inf
    assert power.seconds_to_harm(replace(TRAFFIC, share=0.0), rate=0.005, ratio=3, limit=LIMIT) == inf
    assert power.seconds_to_tolerable(TRAFFIC, rate=0.01, tolerance=0.01, limit=LIMIT) == inf
    assert power.seconds_to_worse_mean(replace(TRAFFIC, share=1.0), RATINGS, difference=0.1, limit=LIMIT) == inf
    assert power.seconds_to_drift(TRAFFIC, deviation=1, difference=0, limit=LIMIT) == inf
    assert power.smallest_ratio(TRAFFIC, rate=0.005, seconds=1, limit=LIMIT) == inf


def test_a_test_without_bounds_waits_for_its_least_units() -> None:
    soon = power.seconds_to_drift(TRAFFIC, deviation=1, difference=50, limit=LIMIT)
    assert soon == pytest.approx(asymptotic.LEAST / 0.1 / 20)
    assert power.seconds_to_drift(TRAFFIC, deviation=1, difference=0.05, limit=LIMIT) > soon


def test_not_worse_takes_longer_the_smaller_the_margin() -> None:
    wide, narrow = (
        power.seconds_to_mean_not_worse(TRAFFIC, RATINGS, margin=margin, limit=LIMIT) for margin in (0.1, 0.05)
    )
    assert wide < narrow < inf
    wide, narrow = (
        power.seconds_to_not_worse(TRAFFIC, rate=0.05, margin=margin, limit=LIMIT) for margin in (2.0, 1.25)
    )
    assert wide < narrow < inf
