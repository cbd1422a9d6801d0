"""The tests of a shadow step, by simulation: false alarms at the edge of what is tolerable, and how soon they speak."""

from __future__ import annotations

from math import inf, log
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.release import evalue
from headrace.release.learn import begin
from headrace.release.plans import plan_from
from headrace.types.release import Tally
from headrace.types.strategy import MetricKind

PLAN = plan_from({"strategy": "shadow"})
FLIPS = next(m for m in PLAN.metrics if m.kind is MetricKind.FLIPS)
TAU = FLIPS.tolerance


def mixed(logs: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - log(len(logs)))


def spoken(rate: float, *, units: int, runs: int, seed: int) -> tuple[list[float], list[float]]:
    """For each run, after how many units it was rolled back and after how many it was proven; infinite: never."""
    differ = (np.random.default_rng(seed).random((runs, units)) < rate).cumsum(axis=1)
    same = np.arange(1, units + 1) - differ
    rates = [r * TAU / (1 - TAU + r * TAU) for r in evalue.HARM]
    beyond = mixed([differ * log(p / TAU) + same * log((1 - p) / (1 - TAU)) for p in rates])
    harm = mixed([np.zeros_like(beyond), np.zeros_like(beyond), beyond])
    stakes = [bet / (1 - TAU) for bet in evalue.BETS]
    fine = mixed([same * log(1 + s * TAU) + differ * log(1 - s * (1 - TAU)) for s in stakes])
    return first(harm >= evalue.roll_back_at(FLIPS, PLAN)), first(fine >= evalue.proven_at(PLAN))


def first(reached: NDArray[Any]) -> list[float]:
    return [float(row.argmax() + 1) if row.any() else inf for row in reached]


def test_what_is_simulated_is_what_the_engine_does() -> None:
    found = begin(FLIPS, PLAN.steps)
    logs, proof = found.beyond or evalue.NO_HARM, found.tolerable
    tallies = [Tally(candidate_units=40, candidate_events=n % 3) for n in range(9)]
    for tally in tallies:
        logs, proof = evalue.add_beyond(logs, tally, TAU), evalue.add_tolerable(proof, tally, TAU)
    differ, same = np.array(9), np.array(351)
    rates = [r * TAU / (1 - TAU + r * TAU) for r in evalue.HARM]
    wanted = [float(differ * log(p / TAU) + same * log((1 - p) / (1 - TAU))) for p in rates]
    assert logs == pytest.approx(wanted)
    stakes = [bet / (1 - TAU) for bet in evalue.BETS]
    assert proof == pytest.approx([351 * log(1 + s * TAU) + 9 * log(1 - s * (1 - TAU)) for s in stakes])


def test_false_words_at_the_edge_however_often_one_looks() -> None:
    """Exactly the tolerable rate, looked at after each of 10,000 units: neither is said more often than α."""
    harm, fine = spoken(TAU, units=10_000, runs=400, seed=1)
    assert sum(at < inf for at in harm) <= 400 * PLAN.alpha
    assert sum(at < inf for at in fine) <= 400 * PLAN.alpha


@pytest.mark.parametrize(("rate", "units"), [(0.0, 500), (0.002, 900)])
def test_how_soon_the_same_is_proven(rate: float, units: int) -> None:
    harm, fine = spoken(rate, units=4_000, runs=100, seed=2)
    assert np.median(fine) <= units
    assert min(harm) == inf


@pytest.mark.parametrize(("rate", "units"), [(0.03, 800), (0.05, 250), (0.1, 80)])
def test_how_soon_a_difference_is_told(rate: float, units: int) -> None:
    harm, fine = spoken(rate, units=4_000, runs=100, seed=3)
    assert np.median(harm) <= units
    assert min(fine) == inf
