"""Agreement, and estimates from a sample, against what is known of them."""

from __future__ import annotations

import random

import pytest

from headrace.data.agreement import agree, consensus, pairwise, wilson
from headrace.data.estimate import weighted
from headrace.data.minhash import Neighbourhood, jaccard, shingles, signature
from headrace.types.errors import BadInput


def test_known_kappa_and_ac1() -> None:
    """The example of Gwet (2008, table 1): 118 of 125 agree, one label is rare."""
    pairs = [("+", "+")] * 118 + [("+", "-")] * 5 + [("-", "+")] * 2
    found = agree(pairs)
    assert found.share == pytest.approx(0.944)
    assert found.kappa == pytest.approx(-0.0234, abs=5e-4)
    assert found.ac1 == pytest.approx(0.9408, abs=5e-4)
    assert found.warning == "skewed"


def test_balanced_labels_have_no_warning_and_intervals_hold_the_value() -> None:
    pairs = [("a", "a")] * 90 + [("b", "b")] * 90 + [("a", "b")] * 10 + [("b", "a")] * 10
    found = agree(pairs)
    assert (found.warning, found.cases) == ("", 200)
    for value, interval in (
        (found.share, found.share_interval),
        (found.kappa, found.kappa_interval),
        (found.ac1, found.ac1_interval),
    ):
        assert value is not None
        assert interval is not None
        assert interval[0] < value < interval[1]
    assert found.kappa == pytest.approx(0.8)


def test_where_nothing_can_be_said_nothing_is() -> None:
    assert agree([]).kappa is None
    same = agree([("a", "a")] * 5)
    assert (same.share, same.kappa, same.ac1, same.warning) == (1.0, None, None, "few")


def test_pairs_of_raters_with_common_cases() -> None:
    found = pairwise({"ann": {"1": "x", "2": "y"}, "bob": {"2": "y", "3": "z"}, "cleo": {"9": "x"}})
    assert {pair: a.cases for pair, a in found.items()} == {("ann", "bob"): 1}


def test_consensus_is_more_than_half() -> None:
    assert (consensus(["a", "a", "b"]), consensus(["a", "b"]), consensus([])) == ("a", None, None)


def test_wilson_at_the_ends() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 20)[0] == 0.0
    assert 0.8 < wilson(20, 20)[0] < 1.0


def test_weights_undo_a_skewed_draw() -> None:
    """Wrong answers are drawn ten times as often; the share among the drawn is far off, the estimate is not."""
    luck = random.Random(5)
    truth = [1.0 if luck.random() < 0.9 else 0.0 for _ in range(50_000)]
    chance = {1.0: 0.02, 0.0: 0.2}
    drawn = [value for value in truth if luck.random() < chance[value]]
    found = weighted(drawn, [chance[value] for value in drawn])
    assert found is not None
    assert abs(sum(drawn) / len(drawn) - 0.9) > 0.3
    assert abs(found.mean - 0.9) < 0.02
    assert found.effective < found.cases


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    luck, held = random.Random(7), 0
    for _ in range(400):
        chances = [luck.choice((0.1, 0.3)) for _ in range(150)]
        values = [1.0 if luck.random() < 0.8 else 0.0 for _ in chances]
        found = weighted(values, chances)
        assert found is not None
        held += found.low <= 0.8 <= found.high
    assert held >= 0.92 * 400


def test_wrong_chances_are_refused() -> None:
    assert weighted([], []) is None
    for values, chances in (([1.0], [0.0]), ([1.0], [1.5]), ([1.0], [])):
        with pytest.raises(BadInput) as refused:
            weighted(values, chances)
        assert refused.value.field == "propensities"


def test_minima_estimate_what_is_common() -> None:
    luck = random.Random(3)
    words = [f"w{n}" for n in range(400)]
    one = shingles(" ".join(words))
    for changed in (5, 20, 60):
        other = list(words)
        for place in luck.sample(range(400), changed):
            other[place] = "x"
        text = shingles(" ".join(other))
        guess = float((signature(one) == signature(text)).mean())
        assert abs(guess - jaccard(one, text)) < 0.2


def test_near_texts_meet_and_distant_ones_hardly() -> None:
    shelf = Neighbourhood()
    base = [f"w{n}" for n in range(200)]
    shelf.add(shingles(" ".join(base)), 0)
    for number in range(1, 200):
        shelf.add(shingles(" ".join(f"v{number}_{n}" for n in range(200))), number)
    near = shingles(" ".join(["x", *base[1:]]))
    assert 0 in shelf.near(near)
    assert len(shelf.near(near)) <= 3
