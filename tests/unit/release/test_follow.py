"""After a switch: feedback and posted metrics of those who came after it, against those who came before it."""

from __future__ import annotations

from dataclasses import replace
from math import comb, exp, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.switches import After, harm_of, stretches
from headrace.release import asymptotic, betting, evalue, learn
from headrace.release.advance import advance
from headrace.release.evidence import Accumulator
from headrace.release.follow import DONE, GROUPS, Span, span_of
from headrace.release.plans import plan_from
from headrace.types.call import Call, MetricEvent
from headrace.types.release import Event, Matched, Phase, Release, Tally
from headrace.types.score import Score
from headrace.types.strategy import ReleasePlan
from headrace.types.traffic import BUCKETS
from tests.unit.release.made import START, call, feedback, interval, release

RATED = {"name": "rated", "kind": "value", "event": "rated", "low": 0, "high": 1, "margin": 0.05, "direction": "higher"}
LEFT = {"name": "left", "kind": "rate", "event": "left"}


def plan_of(*more: dict[str, Any], watch: float = 65.0) -> ReleasePlan:
    steps = [{"kind": "preview", "min_seconds": 64}, {"kind": "switch", "share": 100, "min_seconds": watch}]
    return plan_from({"strategy": "blue-green", "steps": steps, "add_metrics": list(more)})


def switched(plan: ReleasePlan, at: float = 64.0) -> Release:
    item = release(plan)
    step = Event(time=START + at, name="step", detail="", actor="system:release", share=BUCKETS)
    return replace(item, step=1, step_started=START + at, history=(*item.history, step))


class World:
    """A release after its switch, 64 s after it began, and all that was ever said of it."""

    def __init__(self, *more: dict[str, Any]) -> None:
        self.release = switched(plan_of(*more))
        self.counted: dict[str, set[str]] = {}
        self.matched: tuple[Matched, ...] = ()
        self.begin()

    def begin(self) -> None:
        """Once more, as after a restart."""
        self.counts = Accumulator(self.release, counted=self.counted, cuts={}, find=lambda _: None)

    def call(self, unit: str, at: float) -> Call:
        made = call(unit, candidate=at >= 64, at=at)
        self.counts.observe([made])
        return made

    def unhappy(self, about: Call, after: float) -> None:
        self.counts.observe([replace(feedback(about, "user_rating", False), time=about.time + after)])

    def post(self, name: str, unit: str, at: float, value: float = 1.0) -> None:
        event = MetricEvent(id=f"{name}{unit}", name=name, unit=unit, value=value, time=START + at)
        self.counts.observe([event])

    def look(self, at: float) -> tuple[Matched, ...]:
        closed = self.counts.close(start=START, end=START + at, step=1)
        for name, units in closed.fresh.items():
            self.counted.setdefault(name, set()).update(units)
        return closed.interval.matched


def test_units_are_followed_for_as_long_before_as_after() -> None:
    """64 s before, 65 s after less one for late records: both are cut in half, and each half into GROUPS seconds."""
    assert span_of(plan_of().steps) == Span(before=0, after=1, follow=32_000, group_before=1000, group_after=1000)
    longer = span_of(plan_of(watch=301).steps)
    assert longer is not None
    assert (longer.follow, longer.group_before, longer.group_after) == (32_000, 1000, 268_000 // GROUPS)
    assert span_of(plan_from(None).steps) is None, "a canary compares"
    assert span_of(plan_of(watch=0).steps) is None
    assert span_of(plan_from({"steps": [{"kind": "switch", "share": 100}]}).steps) is None, "nobody came before"


def test_who_came_after_is_held_against_who_came_before() -> None:
    world = World(LEFT)
    for name, at in (("b", 0.5), ("c", 64.5)):
        for number in range(10):
            made = world.call(f"{name}{number}", at)
            if number < (1 if name == "b" else 4):
                world.unhappy(made, 31.0)
            if number == 9:
                world.post("left", f"{name}{number}", at + 31.9)
                world.unhappy(made, 32.1)  # too late for either
    assert world.look(64 + 33.9) == ()
    unhappy, left = world.look(64 + 34.0)
    assert unhappy.tally == Tally(baseline_units=10, candidate_units=10, baseline_events=1, candidate_events=4)
    assert (left.about, left.tally.candidate_events) == ("left", 1)
    assert world.look(64 + 34.5) == (), "once"


def test_a_restart_changes_nothing() -> None:
    seen = []
    for restarts in (False, True):
        world = World(LEFT, RATED)
        random = np.random.default_rng(5)
        found: list[Matched] = []
        for at in range(0, 130, 2):
            for unit in random.integers(0, 300, 40).tolist():
                made = world.call(f"u{unit}", at + unit / 300)
                if unit % 7 == 0:
                    world.unhappy(made, 1.0)
                if unit % 5 == 0:
                    world.post("rated", f"u{unit}", at + 1.5, value=random.random())
            if at >= 64:
                found += world.look(at + 2.0)
                if restarts:
                    world.begin()
        assert len(world.counted[DONE]) > 20
        seen.append(found)
    assert seen[0] == seen[1]
    assert {each.about for each in seen[0]} == {"", "rated"}


def test_unhappy_users_after_a_switch_roll_back_and_the_same_as_before_do_not() -> None:
    for after, phase in ((1, Phase.PROGRESSING), (8, Phase.ROLLED_BACK)):
        item = switched(plan_of())
        tally = Tally(baseline_units=40, candidate_units=40, baseline_events=1, candidate_events=after)
        for number in range(5):
            seen = interval(65 + number, step=1, units=5, matched=(Matched(tally=tally),))
            item = item if item.phase.ended else advance(item, seen, seen.end).release
        assert item.phase is phase


@pytest.mark.parametrize("bounds", [{}, {"low": None, "high": None}])
def test_worse_ratings_after_a_switch_roll_back(bounds: dict[str, Any]) -> None:
    random = np.random.default_rng(1)
    for effect, phase in ((0.0, Phase.PROGRESSING), (-0.3, Phase.ROLLED_BACK)):
        item = switched(plan_of({**RATED, **bounds}))
        for number in range(32):
            on = np.arange(40) % 2 == 0
            random.shuffle(on)
            values = np.clip(random.normal(0.7, 0.15, 40) + effect * on, 0, 1)
            scores = tuple(Score(candidate=bool(a), value=float(v)) for a, v in zip(on, values, strict=True))
            seen = interval(65 + number, step=1, units=5, matched=(Matched(about="rated", scores=scores),))
            item = item if item.phase.ended else advance(item, seen, seen.end).release
        assert item.phase is phase, effect


# --- no more than α of harmless ones

CROWDS = [
    pytest.param(After(), id="alike"),
    pytest.param(After(chronic=0.05, heavy=3.0), id="some always complain, some call far more"),
    pytest.param(After(watch=1200.0, drift=0.2), id="a long watch, and the rate rises by a fifth"),
    pytest.param(After(users=200, unhappy=0.2), id="a small, loyal crowd"),
]


@pytest.mark.parametrize("crowd", CROWDS)
def test_false_rollbacks_after_a_switch_stay_below_alpha(crowd: After) -> None:
    most = [harm_of(groups) for groups in stretches(crowd, 1000)]
    for alpha in (0.05, 0.01):
        rolled_back = sum(each >= log(1 / alpha) for each in most)
        assert rolled_back <= alpha * 1000, f"{rolled_back} of 1000 at α = {alpha}"


def test_four_times_as_many_unhappy_users_are_found() -> None:
    most = [harm_of(groups) for groups in stretches(After(worse=4.0), 100)]
    assert sum(each >= log(60) for each in most) >= 90


def test_means_after_a_switch_are_rarely_taken_for_worse() -> None:
    """At the margin, which is as bad as is no harm; the same units come again, each with a temper of its own."""
    random = np.random.default_rng(3)
    peaks = np.zeros((2, 300))
    for number in range(300):
        temper = random.normal(0.4, 0.15, 1000)
        bets = betting.begin(low=0, high=1, margin=0.05, higher_is_better=False)
        normal = asymptotic.begin(margin=0.05, higher_is_better=False)
        for _ in range(20):
            units, on = random.integers(0, 1000, 60), random.random(60) < 0.7
            values = np.clip(temper[units] + random.normal(0, 0.1, 60) + 0.05 * on, 0, 1)
            scores = [Score(candidate=bool(a), value=float(v)) for a, v in zip(on, values, strict=True)]
            bets, normal = betting.add_matched(bets, scores), asymptotic.add_matched(normal, scores)
            peaks[:, number] = np.maximum(peaks[:, number], [betting.harm(bets), asymptotic.harm(normal)])
    assert (peaks >= log(20)).sum(axis=1).max() <= 0.05 * 300


# --- what makes it so

counts = st.integers(min_value=1, max_value=9)


@given(counts, counts, st.floats(1.0, 2.0), st.floats(0.02, 0.9), st.floats(0.0, 1.0))
def test_a_factor_is_fair_up_to_the_margin(before: int, after: int, margin: float, rate: float, part: float) -> None:
    """Two binomials whose odds ratio is at most the margin: the expectation over all that can come is at most 1."""
    odds = rate / (1 - rate) * (1 + part * (margin - 1))
    worse, total = odds / (1 + odds), 0.0
    for b in range(before + 1):
        for c in range(after + 1):
            tally = Tally(baseline_units=before, candidate_units=after, baseline_events=b, candidate_events=c)
            logs = evalue.add_changed(evalue.NO_HARM, tally, margin)
            total += _binomial(before, b, rate) * _binomial(after, c, worse) * sum(map(exp, logs)) / len(logs)
    assert total <= 1 + 1e-9


@given(st.integers(1, 60), st.floats(0.001, 0.2), st.floats(0.0, 1.0))
def test_a_block_is_fair_though_anything_may_happen_in_some(units: int, limit: float, other: float) -> None:
    """In one of OUTAGES each of its units has the event with any chance."""
    total = 0.0
    for hit in range(units + 1):
        chance = (1 - evalue.OUTAGES) * _binomial(units, hit, limit) + evalue.OUTAGES * _binomial(units, hit, other)
        logs = evalue.add_block(evalue.NO_HARM, Tally(candidate_units=units, candidate_events=hit), limit)
        total += chance * sum(map(exp, logs)) / len(logs)
    assert total <= 1 + 1e-9


def _binomial(units: int, hit: int, rate: float) -> float:
    return float(comb(units, hit) * rate**hit * (1 - rate) ** (units - hit))


def test_scopes_share_what_there_is() -> None:
    for plan in (plan_from(None), plan_of(), plan_from({"strategy": "ab"}), plan_from({"strategy": "shadow"})):
        for metric in plan.metrics:
            scopes, steps = learn.begin(metric, plan.steps).scopes, [s for s in plan.steps if 0 < s.share < BUCKETS]
            assert scopes.release + len(steps) * scopes.step + scopes.alone == pytest.approx(1), metric.name
