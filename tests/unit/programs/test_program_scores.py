"""Metrics, intervals and splits: pure, and with the properties that they promise."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ticket_program import ROWS

from headrace.programs.intervals import gain_of, score_of
from headrace.programs.metrics import bounded, exact, f1
from headrace.programs.order import Row
from headrace.programs.split import split
from headrace.types.errors import BadInput

scores = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=60)


def test_exact_ignores_case_and_blanks_around() -> None:
    assert exact("Paris", " paris\n") == 1.0
    assert exact("Paris", "Paris, France") == 0.0
    assert exact(3, 3) == 1.0


def test_f1_counts_words_as_squad_does() -> None:
    assert f1("the Eiffel Tower", "Eiffel tower.") == 1.0
    assert f1("Eiffel Tower", "a tower in Paris") == pytest.approx(0.4)
    assert f1("Paris", "London") == 0.0
    assert f1("the", "") == 1.0


def test_a_score_is_between_nothing_and_all() -> None:
    assert bounded(True) == 1.0
    with pytest.raises(ValueError, match="allowed: 0 to 1"):
        bounded(1.5)


@given(scores)
def test_an_interval_holds_the_mean(values: list[float]) -> None:
    found = score_of(values)
    assert 0.0 <= found.low <= found.mean + 1e-9
    assert found.mean - 1e-9 <= found.high <= 1.0


def test_wilson_matches_the_textbook() -> None:
    found = score_of([1.0] * 8 + [0.0] * 2)  # Agresti and Coull 1998: 8 of 10
    assert (found.low, found.high) == (pytest.approx(0.490, abs=5e-4), pytest.approx(0.943, abs=5e-4))


@given(scores)
def test_a_program_gains_nothing_over_itself(values: list[float]) -> None:
    found = gain_of(values, values)
    assert found.mean == 0.0
    assert found.low < 0.0 < found.high


def test_intervals_of_a_gain_cover_it() -> None:
    """150 times two programs that are truly 10 points apart: the interval misses that about once in twenty."""
    draw, missed = random.Random(1), 0
    for _ in range(150):
        pairs = [
            (float(u < 0.6), float(u < 0.7 if draw.random() < 0.8 else draw.random() < 0.7)) for u in _uniform(draw)
        ]
        found = gain_of([b for b, _ in pairs], [a for _, a in pairs])
        missed += not found.low <= 0.1 <= found.high
    assert missed / 150 < 0.1


def _uniform(draw: random.Random) -> list[float]:
    return [draw.random() for _ in range(80)]


def test_a_split_is_a_partition_and_stays_as_it_is_when_rows_come() -> None:
    first = split(ROWS, inputs=["text"], seed=0)
    parts = [first.train, first.valid, first.test]
    assert sorted(r["text"] for part in parts for r in part) == sorted(r["text"] for r in ROWS)
    more = split((*ROWS, {"text": "new", "team": "billing"}), inputs=["text"], seed=0)
    assert set(_texts(first.test)) <= set(_texts(more.test))
    assert _texts(split(ROWS, inputs=["text"], seed=1).test) != _texts(first.test)


def test_equal_rows_and_groups_stay_on_one_side() -> None:
    rows = [{"text": f"t{n // 2}", "team": "billing", "user": n % 20} for n in range(80)]
    found = split(rows, inputs=["text"], seed=0)
    assert not set(_texts(found.train)) & set(_texts(found.test))
    grouped = split(rows, inputs=["text"], seed=3, group="user")
    assert not {r["user"] for r in grouped.train} & {r["user"] for r in grouped.test}


def test_a_test_that_is_given_is_never_learned_from() -> None:
    found = split(ROWS, inputs=["text"], seed=0, test=ROWS[:10])
    assert found.test == ROWS[:10]
    assert not set(_texts(found.train) + _texts(found.valid)) & set(_texts(ROWS[:10]))


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(BadInput, match="3 rows are too few"):
        split(ROWS[:3], inputs=["text"], seed=0)


def _texts(rows: tuple[Row, ...]) -> list[str]:
    return [str(row["text"]) for row in rows]
