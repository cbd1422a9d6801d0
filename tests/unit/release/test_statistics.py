"""The promises of the release statistics: false alarms and power by simulation, and what makes them so."""

from __future__ import annotations

from dataclasses import replace
from math import comb, exp, inf, log
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.release import e_value, in_default_plan, peak
from bench.streams import Scene, releases
from headrace.release import evalue
from headrace.release.plans import default_plan
from headrace.types.release import Tally

RELEASES = 1000
RAMP = Scene(users=1500, shares=(0.01, 0.05, 0.25, 0.5), seconds=1600, look=40)


# --- a harmless release is rolled back with at most α, however it is looked at


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(replace(RAMP, base_rate=0.02), id="drift and ramp"),
        pytest.param(replace(RAMP, base_rate=0.005, chronic=0.02), id="users who always fail"),
        pytest.param(replace(RAMP, shares=(0.1,), base_rate=0.02), id="one share"),
        pytest.param(
            replace(RAMP, heavy=3.0, outage=0.2), id="heavy users, and outages that hit some of them together"
        ),
    ],
)
def test_false_rollbacks_stay_below_alpha(scene: Scene) -> None:
    most = [peak(seen, steps=len(scene.shares)) for seen in releases(scene, RELEASES)]
    for alpha in (0.05, 0.01):
        rolled_back = sum(each >= log(1 / alpha) for each in most)
        assert rolled_back <= alpha * RELEASES, f"{rolled_back} of {RELEASES} at α = {alpha}"


def test_a_bad_candidate_is_stopped_within_a_minute() -> None:
    """x10 errors at 10 % of 20 requests/s, while errors share α with the other metrics of the default plan."""
    rule = e_value(in_default_plan(0.05))
    ends = [rule(seen) for seen in releases(Scene(ratio=10, look=1, seconds=240), 100)]
    assert median(inf if end is None else end for end in ends) <= 60


def test_four_times_the_errors_are_stopped_within_four_minutes() -> None:
    rule = e_value(in_default_plan(0.05))
    ends = [rule(seen) for seen in releases(Scene(ratio=4, look=5, seconds=1200), 100)]
    assert median(inf if end is None else end for end in ends) <= 240


# --- what makes it so: each factor has an expectation of at most one

counts = st.integers(min_value=0, max_value=12)


@given(counts, counts, st.data())
def test_a_factor_of_harm_is_fair_without_replacement(baseline: int, candidate: int, data: st.DataObject) -> None:
    events = data.draw(st.integers(min_value=0, max_value=baseline + candidate))
    total = 0.0
    for hit in range(max(0, events - baseline), min(events, candidate) + 1):
        chance = comb(candidate, hit) * comb(baseline, events - hit) / comb(baseline + candidate, events)
        tally = Tally(
            baseline_units=baseline,
            candidate_units=candidate,
            baseline_events=events - hit,
            candidate_events=hit,
        )
        logs = evalue.add_harm((0.0,) * len(evalue.HARM), tally)
        total += chance * sum(exp(each) for each in logs) / len(logs)
    assert total <= 1 + 1e-9


@given(st.floats(min_value=0.02, max_value=0.98), st.floats(min_value=1.05, max_value=3))
def test_one_event_is_fair_to_a_candidate_at_the_margin(share: float, margin: float) -> None:
    """n_c : n_b = share, and the event falls on the candidate with the odds of the margin."""
    units = 10_000
    candidate = round(share * units)
    q = candidate / units
    hit = q * margin / (1 - q + q * margin)
    zero = (0.0,) * len(evalue.SAFE)
    on = Tally(baseline_units=units - candidate, candidate_units=candidate, candidate_events=1)
    off = replace(on, candidate_events=0, baseline_events=1)
    for with_it, without in zip(
        evalue.add_not_worse(zero, on, margin), evalue.add_not_worse(zero, off, margin), strict=True
    ):
        assert hit * exp(with_it) + (1 - hit) * exp(without) == pytest.approx(1)


@given(st.floats(min_value=0.001, max_value=0.5))
def test_one_unit_is_fair_to_a_candidate_at_the_tolerance(tolerance: float) -> None:
    zero = (0.0,) * len(evalue.BETS)
    good = evalue.add_tolerable(zero, Tally(candidate_units=1), tolerance)
    bad = evalue.add_tolerable(zero, Tally(candidate_units=1, candidate_events=1), tolerance)
    for with_it, without in zip(bad, good, strict=True):
        assert tolerance * exp(with_it) + (1 - tolerance) * exp(without) == pytest.approx(1)


def test_a_worse_candidate_is_rarely_proven_not_worse() -> None:
    """Twice the errors, against a margin of 1.25: at most 5 % of releases may pass."""
    passed = 0
    for seen in releases(Scene(ratio=1.25, shares=(0.5,), base_rate=0.03, seconds=1200, look=40), 300):
        logs: tuple[float, ...] = (0.0,) * len(evalue.SAFE)
        best = -inf
        for look in seen:
            logs = evalue.add_not_worse(logs, look.release, 1.25)
            best = max(best, log(sum(exp(each) for each in logs) / len(logs)))
        passed += best >= log(20)
    assert passed <= 15


def test_an_equal_candidate_without_errors_is_proven_tolerable() -> None:
    logs: tuple[float, ...] = (0.0,) * len(evalue.BETS)
    for _ in range(50):
        logs = evalue.add_tolerable(logs, Tally(candidate_units=20), 0.01)
    assert evalue.tolerable(replace(evalue.begin(1), tolerable=logs)) >= evalue.proven_at(default_plan())


# --- the ends of the scale


def test_nothing_seen_moves_nothing() -> None:
    empty = evalue.begin(3)
    assert evalue.harm(empty) == evalue.not_worse(empty) == evalue.tolerable(empty) == 0
    for tally in (Tally(), Tally(baseline_units=9, baseline_events=4), Tally(candidate_units=9, candidate_events=4)):
        assert evalue.add_harm(empty.harm, tally) == pytest.approx(empty.harm)


def test_no_tolerance_means_no_such_proof() -> None:
    assert evalue.add_tolerable((0.0,), Tally(candidate_units=1000), 0.0) == (0.0,)


def test_evidence_of_a_million_does_not_overflow() -> None:
    logs = evalue.add_harm(
        (0.0,) * len(evalue.HARM),
        Tally(baseline_units=10**6, candidate_units=10**6, candidate_events=10**6),
    )
    assert evalue.harm(replace(evalue.begin(1), harm=logs, harm_steps=(logs,))) > 1e5


def test_critical_metrics_share_alpha() -> None:
    plan = default_plan()
    limits = [evalue.roll_back_at(m, plan) for m in plan.metrics]
    assert sum(exp(-limit) for limit in limits) == pytest.approx(plan.alpha)
    assert limits[-1] == inf, "an advisory metric never rolls back"
