"""Each strategy, whole releases at a time: a harmless candidate is rolled back with at most α, a bad one soon."""

from __future__ import annotations

from dataclasses import replace
from math import log
from statistics import median

import numpy as np
import pytest

from bench.strategies import Crowd, runs, with_alpha
from headrace.release import betting, evalue
from headrace.release.learn import learn
from headrace.release.plans import plan_from
from headrace.types.release import MetricEvidence, Phase, ReleasePlan, Scores
from headrace.types.score import Score
from headrace.types.strategy import MetricKind, MetricSpec, Strategy
from tests.unit.release.made import interval, release

RELEASES = 1000
CROWD = Crowd(look=40, looks=14)


def plan_of(strategy: Strategy) -> ReleasePlan:
    """Steps so short that a ramp fits into the looks. The higher limits of α = 1 % let releases go on for longer."""
    units = {"min_units": 1200} if strategy is Strategy.AB else {"min_units": 5}
    seconds = 240 if strategy is Strategy.BLUE_GREEN else 80
    return plan_from({"strategy": strategy.value, "min_seconds": seconds, "max_seconds": 900, "alpha": 0.01, **units})


@pytest.mark.parametrize("strategy", Strategy)
def test_false_rollbacks_stay_below_alpha(strategy: Strategy) -> None:
    """Drift, ramp, users who always fail, heavy users, outages that hit users together, slow users, late feedback."""
    plan = plan_of(strategy)
    count = 100 if strategy is Strategy.PREVIEW else RELEASES  # a bucket gives nobody the candidate: nothing can move
    found = list(runs(plan, CROWD, count))
    for alpha in (0.05, 0.01):
        rolled_back = sum(run.rolls_back(with_alpha(plan, alpha)) for run in found)
        assert rolled_back <= alpha * count, f"{rolled_back} of {count} at α = {alpha}"
    if strategy is not Strategy.SHADOW and len(plan.steps) > 1:
        assert sum(run.release.step > 0 for run in found) > 0.9 * count, "they do not get on"


def test_users_who_always_fail_do_not_condemn_a_switch() -> None:
    """They were counted before it, so they say nothing after it; when all began anew, 28 % of these went back."""
    plan = plan_from({"strategy": "blue_green", "min_seconds": 400, "min_units": 5})
    crowd = Crowd(users=300, chronic=0.05, drift=0.0, outage=0.0, look=40, looks=20)
    assert sum(run.rolls_back(plan) for run in runs(plan, crowd, 100)) <= 0.05 * 100


@pytest.mark.parametrize("strategy", [Strategy.CANARY, Strategy.AB, Strategy.BLUE_GREEN])
def test_ten_times_the_failures_are_stopped(strategy: Strategy) -> None:
    plan = with_alpha(plan_of(strategy), 0.05)
    crowd, least, before = replace(CROWD, worse=10.0), 57, 0.0
    if strategy is Strategy.BLUE_GREEN:  # where an outage in the preview, when nobody has it, raises what is tolerated
        crowd, least, before = replace(crowd, look=20, looks=28), 54, plan.steps[0].min_seconds
    found = list(runs(plan, crowd, 60))
    assert sum(run.release.phase is Phase.ROLLED_BACK for run in found) >= least
    assert median(run.release.ended - before for run in found) <= 300


def test_a_candidate_that_is_slow_or_makes_unhappy_is_stopped_too() -> None:
    plan = with_alpha(plan_of(Strategy.AB), 0.05)
    for crowd in (replace(CROWD, slower=1.6), replace(CROWD, unhappier=4.0)):
        found = list(runs(plan, crowd, 40))
        assert sum(run.release.phase is Phase.ROLLED_BACK for run in found) >= 34


# --- a small crowd that comes again in each step, and rates each time

RATED = MetricSpec(name="rated", kind=MetricKind.VALUE, event="rated", low=0, high=1, margin=0.1)


def rated_by_the_same(effect: float, seed: int, spec: MetricSpec = RATED) -> list[MetricEvidence]:
    """After each step of a ramp. Some rate all that they get badly; `effect` makes the candidate's ratings worse."""
    random, users = np.random.default_rng(seed), 600
    bucket, temper = random.random(users), random.normal(0.4, 0.15, users)
    item = release(plan_from({"shares": [1, 5, 25, 50, 100], "metrics": [{"name": "errors", "kind": "errors"}]}))
    item = replace(item, plan=replace(item.plan, metrics=(spec,)), evidence=None)
    states = []
    for step, share in enumerate((0.01, 0.05, 0.25, 0.5)):
        on = bucket < share
        values = np.clip(temper + random.normal(0, 0.1, users) + effect * on, 0, 1)
        scores = tuple(Score(candidate=bool(c), value=float(v)) for c, v in zip(on, values, strict=True))
        posted = Scores(step=step, about="rated", scores=() if step else scores, again=scores if step else ())
        item = learn(replace(item, step=step), interval(60.0 * step, step=step, scores=(posted,)))
        states.append((item.evidence or {})["rated"])
    return states


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (None, None)])
def test_the_same_users_in_each_step_raise_no_false_alarm(bounds: tuple[float | None, float | None]) -> None:
    spec = replace(RATED, low=bounds[0], high=bounds[1])
    peaks = [max(evalue.harm(state) for state in rated_by_the_same(0.0, seed, spec)) for seed in range(400)]
    assert sum(peak >= log(20) for peak in peaks) <= 0.05 * 400
    assert sum(peak >= log(100) for peak in peaks) <= 0.01 * 400


def test_users_who_rated_at_one_per_cent_still_count_at_fifty() -> None:
    """They were all used up in the first step, when a value counted once in the whole release."""
    states = [rated_by_the_same(0.1, seed)[-1] for seed in range(40)]
    assert median(evalue.harm(state) for state in states) >= log(100)
    assert all(state.bets is not None and betting.harm(state.bets) < log(20) for state in states)
    reading = betting.reading(evalue.means(states[0]), 0.05)
    assert reading.low < 0.1 < reading.high
    assert reading.high - reading.low < 0.2
