"""The difference of two means of a metric with bounds: fairness of each bet, false alarms, power, and coverage."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log, log1p

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scores import Scored, ScoreScene, ratings, scored, thumbs
from headrace.release import arms, betting
from headrace.types.errors import BadInput
from headrace.types.score import Bets, Score

RELEASES = 1000
NEW = betting.begin(low=0, high=1, margin=0.05, higher_is_better=False)

unit = st.floats(min_value=0, max_value=1)
shares = st.floats(min_value=0.001, max_value=0.999)
guesses = st.floats(min_value=0.001, max_value=0.999)


def factor(y: float, *, on: bool, guess: float, share: float, margin: float = 0.0) -> tuple[list[float], list[float]]:
    """Of harm and of not worse, for one score."""
    term = arms.terms(np.array([on]), np.array([y]), np.array([guess]), share)
    harm, not_worse = betting.factors(term, np.array([guess]), share, margin)
    return np.exp(harm[:, 0]).tolist(), np.exp(not_worse[:, 0]).tolist()


def paths(stream: Scored, margin: float) -> tuple[float, float]:
    """The largest e-values of harm and of not worse on the way, looked at after every score. Bad is 1."""
    guess = arms.guesses(stream.values, total=0.5, units=1)
    term = arms.terms(stream.candidate, stream.values, guess, stream.share)
    harm, not_worse = (
        np.exp(np.cumsum(logs, axis=1)).mean(axis=0).max()
        for logs in betting.factors(term, guess, stream.share, margin)
    )
    return float(harm), float(not_worse)


def learnt(stream: Scored, state: Bets, *, upto: int | None = None, looks: int = 8) -> Bets:
    """An interval never spans two shares."""
    for part in np.array_split(np.arange(len(stream.values))[:upto], looks):
        for share in np.unique(stream.share[part]):
            of = part[stream.share[part] == share]
            state = betting.learn(state, stream.candidate[of], stream.values[of], float(share))
    return state


# --- each bet is fair


@given(unit, guesses, shares)
def test_a_bet_on_harm_is_fair_when_nothing_differs(y: float, guess: float, share: float) -> None:
    on, off = (factor(y, on=arm, guess=guess, share=share)[0] for arm in (True, False))
    for with_it, without in zip(on, off, strict=True):
        assert share * with_it + (1 - share) * without == pytest.approx(1)


@given(unit, unit, guesses, shares)
def test_a_bet_on_harm_is_not_in_favour_when_the_candidate_is_better(
    a: float, b: float, guess: float, share: float
) -> None:
    better, worse = sorted((a, b))
    on, off = factor(better, on=True, guess=guess, share=share)[0], factor(worse, on=False, guess=guess, share=share)[0]
    assert all(share * x + (1 - share) * y <= 1 + 1e-9 for x, y in zip(on, off, strict=True))


@given(unit, st.floats(min_value=0, max_value=0.5), guesses, shares)
def test_a_bet_on_not_worse_is_fair_at_the_margin(y: float, margin: float, guess: float, share: float) -> None:
    y *= 1 - margin
    on = factor(y + margin, on=True, guess=guess, share=share, margin=margin)[1]
    off = factor(y, on=False, guess=guess, share=share, margin=margin)[1]
    for with_it, without in zip(on, off, strict=True):
        assert share * with_it + (1 - share) * without == pytest.approx(1)


@given(unit, st.booleans(), guesses, shares, st.floats(min_value=0, max_value=0.99))
def test_no_bet_can_lose_everything(y: float, on: bool, guess: float, share: float, margin: float) -> None:
    for factors in factor(y, on=on, guess=guess, share=share, margin=margin):
        assert min(factors) >= 1 - max(betting.STAKES) - 1e-9


@given(st.floats(min_value=-1, max_value=50), st.sampled_from(betting.SLOPES))
def test_a_slope_of_the_interval_never_promises_more_than_a_bet(part: float, slope: float) -> None:
    """exp(λx - ψ(λ) x²) is at most 1 + λx for any x from -1 on, so that its expectation is at most a fair bet's."""
    assert slope * part + (log1p(-slope) + slope) * part**2 <= log1p(slope * part) + 1e-12


# --- false alarms, over the whole release and looked at after every score

HARMLESS = [
    pytest.param(ScoreScene(draw=thumbs, mean=0.03, alike=0.01), id="rare thumbs down, ramp and drift"),
    pytest.param(ScoreScene(draw=thumbs, mean=0.4), id="thumbs, ramp and drift"),
    pytest.param(ScoreScene(draw=ratings, alike=0.2), id="ratings of users who are alike"),
    pytest.param(ScoreScene(draw=ratings, shares=(0.1,)), id="one share"),
]


@pytest.mark.parametrize("scene", HARMLESS)
def test_false_alarms_stay_below_alpha(scene: ScoreScene) -> None:
    most = [paths(scored(scene, seed), 0.0)[0] for seed in range(RELEASES)]
    for alpha in (0.05, 0.01):
        alarms = sum(each >= 1 / alpha for each in most)
        assert alarms <= alpha * RELEASES, f"{alarms} of {RELEASES} at α = {alpha}"


def test_a_candidate_worse_by_the_margin_is_rarely_proven_not_worse() -> None:
    scene = ScoreScene(draw=thumbs, mean=0.2, alike=0.0, effect=0.1, shares=(0.25, 0.5))
    proven = sum(paths(scored(scene, seed), 0.1)[1] >= 20 for seed in range(RELEASES))
    assert proven <= 0.05 * RELEASES


def test_the_interval_covers_the_difference_at_all_looks() -> None:
    scene = ScoreScene(draw=ratings, mean=0.4, effect=0.1, alike=0.02, drift=0.1)
    missed = 0
    for seed in range(300):
        stream, state, outside = scored(scene, seed), NEW, False
        for part in np.array_split(np.arange(scene.users), 8):
            state = betting.learn(state, stream.candidate[part], stream.values[part], float(stream.share[part[0]]))
            low, high = betting.interval(state, 0.05)
            outside |= not low <= 0.1 <= high
        missed += outside
    assert missed <= 0.05 * 300


# --- and it finds what is there


def test_harm_and_its_absence_are_found() -> None:
    worse = ScoreScene(draw=thumbs, mean=0.1, effect=0.15, alike=0.0, shares=(0.1, 0.5))
    found = [betting.harm(learnt(scored(worse, seed), NEW)) for seed in range(100)]
    assert np.median(found) >= log(100)
    equal = replace(worse, effect=0.0, users=4000)
    state = betting.begin(low=0, high=1, margin=0.1, higher_is_better=False)
    proven = [betting.not_worse(learnt(scored(equal, seed), state)) for seed in range(100)]
    assert np.median(proven) >= log(20)


def test_the_interval_narrows_around_the_difference() -> None:
    scene = ScoreScene(draw=ratings, mean=0.4, effect=0.1, alike=0.0, users=20_000, shares=(0.5,))
    reading = betting.reading(learnt(scored(scene, 7), NEW), 0.05)
    assert reading.low < 0.1 < reading.high
    assert reading.high - reading.low < 0.02
    assert reading.difference == pytest.approx(0.1, abs=0.01)
    assert reading.always
    assert not reading.asymptotic


# --- what the state is


def test_which_way_is_better_only_mirrors() -> None:
    stream = scored(ScoreScene(draw=ratings, effect=0.05), 3)
    mirrored = replace(stream, values=10 - 10 * stream.values)
    bad = learnt(stream, betting.begin(low=0, high=1, margin=0.1, higher_is_better=False))
    good = learnt(mirrored, betting.begin(low=0, high=10, margin=1, higher_is_better=True))
    assert good.harm == pytest.approx(bad.harm)
    assert good.not_worse == pytest.approx(bad.not_worse)
    low, high = betting.interval(bad, 0.05)
    assert betting.interval(good, 0.05) == pytest.approx((-10 * high, -10 * low))
    assert betting.difference(good) == pytest.approx(-10 * betting.difference(bad))


def test_scores_may_come_in_any_batches() -> None:
    stream = scored(ScoreScene(draw=ratings, shares=(0.2,)), 5)
    at_once, in_parts = learnt(stream, NEW, looks=1), learnt(stream, NEW, looks=97)
    assert in_parts.harm == pytest.approx(at_once.harm)
    assert in_parts.not_worse == pytest.approx(at_once.not_worse)
    assert betting.interval(in_parts, 0.05) == pytest.approx(betting.interval(at_once, 0.05))
    assert in_parts.candidate.variance == pytest.approx(at_once.candidate.variance)


def test_a_state_is_stored_and_goes_on_bit_for_bit() -> None:
    stream = scored(ScoreScene(draw=thumbs), 11)
    half = learnt(stream, NEW, upto=700)
    stored = msgspec.json.decode(msgspec.json.encode(half), type=Bets)
    assert stored == half
    more = [Score(candidate=bool(c), value=float(v)) for c, v in zip(stream.candidate, stream.values, strict=True)]
    assert betting.add(stored, more[700:], 0.25) == betting.add(half, more[700:], 0.25)


def test_nothing_to_compare_moves_nothing() -> None:
    some = [Score(candidate=True, value=1.0), Score(candidate=False, value=0.0)]
    for state in (betting.add(NEW, [], 0.5), betting.add(NEW, some, 0.0), betting.add(NEW, some, 1.0)):
        assert state == NEW
    assert betting.harm(NEW) == betting.not_worse(NEW) == 0
    assert betting.interval(NEW, 0.05) == (-1, 1)


def test_what_is_beyond_a_bound_counts_as_the_bound() -> None:
    far = [Score(candidate=True, value=7.0), Score(candidate=False, value=-3.0)]
    near = [Score(candidate=True, value=1.0), Score(candidate=False, value=0.0)]
    assert betting.add(NEW, far, 0.5) == betting.add(NEW, near, 0.5)


def test_what_is_not_a_number_is_not_a_score() -> None:
    state = betting.add(NEW, [Score(candidate=True, value=float("nan")), Score(candidate=True, value=1.0)], 0.5)
    assert state.candidate.units == 1
    assert exp(betting.harm(state)) > 1


@pytest.mark.parametrize(("low", "high", "margin"), [(1, 1, 0), (2, 1, 0), (0, 1, 1), (0, 1, -0.1)])
def test_bounds_and_margin_must_fit(low: float, high: float, margin: float) -> None:
    with pytest.raises(BadInput, match="margin"):
        betting.begin(low=low, high=high, margin=margin, higher_is_better=True)
