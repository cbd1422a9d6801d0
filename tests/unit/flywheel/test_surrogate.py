"""A judge and a few labels: right whatever the judge is worth, and narrower when it is worth something."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from headrace.flywheel.surrogate import powered, weighted

TRUE = 0.7


def drawn(generator: np.random.Generator, *, bias: float, noise: float, rows: int = 2000, labelled: int = 100) -> tuple:
    truth = (generator.random(rows) < TRUE).astype(float)
    judged = np.clip(truth * (1 - noise) + noise * generator.random(rows) + bias, 0, 1)
    return truth[:labelled], judged[:labelled], judged[labelled:]


@pytest.mark.parametrize(("bias", "noise"), [(0.0, 0.2), (0.2, 0.5), (-0.3, 1.0)])
def test_it_covers_the_truth(bias: float, noise: float) -> None:
    generator = np.random.default_rng(7)
    held = narrower = 0
    for _ in range(200):
        found = powered(*drawn(generator, bias=bias, noise=noise))
        held += found.low <= TRUE <= found.high
        narrower += found.worth > 150
    assert held >= 0.9 * 200
    assert narrower > 190 if noise < 1 else narrower < 100


def test_a_useless_judge_costs_nothing() -> None:
    generator = np.random.default_rng(9)
    truth, _, _ = drawn(generator, bias=0, noise=0)
    found = powered(truth, generator.random(100), generator.random(1900))
    assert found.worth >= 95
    assert powered(truth, truth, []).mean == pytest.approx(truth.mean())
    assert powered([1.0], [1.0], [0.5]).high == inf
    with pytest.raises(ValueError, match="2 labels for 1"):
        powered([1.0, 0.0], [1.0], [])


def test_weights_undo_how_rows_were_drawn() -> None:
    generator = np.random.default_rng(13)
    held = 0
    for _ in range(200):
        good = generator.random(4000) < TRUE
        chance = np.where(good, 0.02, 0.1)  # unhappy rows are drawn five times as often
        taken = generator.random(4000) < chance
        found = weighted(good[taken].astype(float), chance[taken])
        held += found.low <= TRUE <= found.high
        assert good[taken].mean() < 0.5
    assert held >= 0.9 * 200
    with pytest.raises(ValueError, match=r"propensity is .*0\.0"):
        weighted([1.0, 1.0], [0.0, 0.5])
    assert weighted([1.0], [0.5]).low == -inf
