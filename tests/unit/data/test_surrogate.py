"""A judge and a few labels: right whatever the judge is worth, and narrower when it is worth something."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.data.estimate import powered
from headrace.types.errors import BadInput

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
        assert found is not None
        held += found.low <= TRUE <= found.high
        narrower += found.effective > 150
    assert held >= 0.9 * 200
    assert narrower > 190 if noise < 1 else narrower < 100


def test_complaints_are_a_judge_too_and_draws_are_weighed() -> None:
    """Few users complain, some for no reason, and what is drawn is not drawn evenly."""
    generator = np.random.default_rng(11)
    held = narrower = 0
    for _ in range(200):
        truth = (generator.random(4000) < TRUE).astype(float)
        quiet = 1.0 - ((truth == 0) & (generator.random(4000) < 0.6) | (generator.random(4000) < 0.02))
        chance = np.where(np.arange(4000) < 2000, 0.02, 0.06)
        taken = generator.random(4000) < chance
        found = powered(truth[taken], quiet[taken], quiet[~taken], list(chance[taken]))
        assert found is not None
        held += found.low <= TRUE <= found.high
        narrower += found.effective > 1.2 * taken.sum()
    assert held >= 0.9 * 200
    assert narrower > 150


def test_a_useless_judge_costs_nothing() -> None:
    generator = np.random.default_rng(9)
    truth, _, _ = drawn(generator, bias=0, noise=0)
    found = powered(truth, generator.random(100), generator.random(1900))
    assert found is not None
    assert found.effective >= 95
    alone = powered(truth, truth, [])
    assert alone is not None
    assert alone.mean == pytest.approx(truth.mean())
    assert powered([1.0], [1.0], [0.5]) is None
    sure = powered([1.0] * 20, [1.0] * 20, [1.0] * 500)
    assert sure is not None
    assert sure.low == pytest.approx(0.839, abs=0.001), "twenty right answers do not prove that all are"
    with pytest.raises(BadInput, match="2 labels for 1"):
        powered([1.0, 0.0], [1.0], [])
