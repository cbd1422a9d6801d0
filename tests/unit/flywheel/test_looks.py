"""A/A turns that are looked at 50 times: at most 5 % are promoted, where an ordinary test promotes a third."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.flywheel.intervals import compare
from headrace.flywheel.looks import evidence, log_evidence, wins_needed
from headrace.flywheel.verdict import Measured, judge
from headrace.types.turn import Flywheel, Metric, Training

LOOKS = 50
counts = st.integers(0, 400)


@given(counts, counts)
def test_it_is_a_fair_bet(better: int, worse: int) -> None:
    """The mean over the next coin is what it is now."""
    now = log_evidence(better, worse)
    then = np.logaddexp(log_evidence(better + 1, worse), log_evidence(better, worse + 1)) - log(2)
    assert then == pytest.approx(now, abs=1e-6)


def test_by_hand() -> None:
    assert evidence(0, 0) == pytest.approx(1.0)
    assert evidence(1, 0) == pytest.approx(1.5)  # 4 * the integral of p from 1/2 to 1
    assert evidence(0, 1) == pytest.approx(0.5)
    assert evidence(2000, 0) > 1e300
    assert 0 < evidence(0, 2000) < 1e-3
    assert log_evidence(10, 10) < 0


def test_a_turn_that_changes_nothing_is_not_promoted() -> None:
    """The gate itself, on fresh rows that grow between 50 looks. Candidate and baseline are equally good."""
    wheel = Flywheel(endpoint="digits", train=Training(command=("true",)))
    wheel = replace(wheel, gates=replace(wheel.gates, margin=1.0))  # so that the gate `fresh` decides alone
    golden = compare("golden", Metric.EXACT, [0.0] * 40, [0.0] * 40, 0.05)
    must = compare("must", Metric.EXACT, [], [], 0.05)
    generator, turns, rows = np.random.default_rng(11), 300, 40
    promoted = peeked = 0
    for _ in range(turns):
        before = (generator.random(LOOKS * rows) < 0.3).astype(float)
        after = (generator.random(LOOKS * rows) < 0.3).astype(float)
        wins, losses = (np.cumsum(x).astype(int)[rows - 1 :: rows] for x in (after < before, after > before))
        best = max(range(LOOKS), key=lambda look: evidence(wins[look], losses[look]))
        upto = (best + 1) * rows
        gain = compare("fresh", Metric.EXACT, before[:upto], after[:upto], wheel.alpha)
        found = judge(
            wheel,
            Measured(gains=(golden, gain, must), baseline_ms=1.0, candidate_ms=1.0, seconds=1.0, cost=0.0),
        )
        promoted += all(gate.passed for gate in found)
        peeked += bool(((wins > losses) & ((wins - losses) ** 2 > 1.96**2 * (wins + losses))).any())
    assert promoted <= 0.05 * turns
    assert peeked > 0.15 * turns, "an ordinary test, one side of it, is fooled"


def test_a_better_one_is_found() -> None:
    generator = np.random.default_rng(2)
    needed = wins_needed(0.05, 0.75)
    found = 0
    for _ in range(200):
        wins = np.cumsum(generator.random(round(3 * needed)) < 0.75)
        differ = np.arange(1, len(wins) + 1)
        found += any(evidence(int(w), int(n - w)) >= 20 for w, n in zip(wins, differ, strict=True))
    assert found >= 180
    assert wins_needed(0.05, 0.5) == float("inf")
    assert wins_needed(0.05, 0.9) < needed < wins_needed(0.05, 0.6)
    assert exp(log_evidence(round(needed * 0.75), round(needed * 0.25))) > 15
