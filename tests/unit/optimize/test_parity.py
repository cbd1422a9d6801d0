"""What counts as the same answer, and how a difference is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from headrace.optimize.parity import TOLERANCE, compare, difference

scores = arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=st.floats(width=64))


def both(label: object, probability: object) -> dict[str, np.ndarray]:
    return {"label": np.asarray(label), "probabilities": np.asarray(probability, dtype=np.float64)}


@given(scores)
def test_anything_answers_like_itself(table: np.ndarray) -> None:
    finding = compare({"s": table}, {"s": table.copy()}, real=len(table), tolerance=0.0)
    assert finding.passed
    assert finding.max_difference == 0.0


@given(scores, scores)
def test_difference_is_symmetric_and_never_nan(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape == b.shape:
        assert np.array_equal(difference(a, b), difference(b, a))
        assert not np.isnan(difference(a, b)).any()


@given(st.floats(-100, 100), st.floats(1.5, 1000), st.booleans())
def test_a_score_outside_the_tolerance_is_found(value: float, factor: float, up: bool) -> None:
    off = TOLERANCE * factor * (1 if up else -1)
    finding = compare({"s": np.array([value])}, {"s": np.array([value + off])}, real=1, tolerance=TOLERANCE)
    assert not finding.passed
    assert finding.max_difference == pytest.approx(abs(off), rel=1e-6)


def test_a_score_within_the_tolerance_passes() -> None:
    finding = compare(both([1], [[0.5]]), both([1], [[0.50009]]), real=1, tolerance=1e-4)
    assert finding.passed
    assert finding.max_difference == pytest.approx(9e-5)


def test_a_flip_is_told_with_where_it_is() -> None:
    finding = compare(both([1, 2, 3], [[0], [0], [0]]), both([1, 9, 9], [[0], [0], [0.5]]), real=2, tolerance=1e-4)
    assert finding.label_flips == 2
    assert finding.why == (
        "2 of 3 rows have another label (1 real rows, 1 at split values); "
        "1 of 3 rows have scores up to 0.5 apart, 0.0001 allowed (0 real rows, 1 at split values)"
    )


@pytest.mark.parametrize(
    ("expected", "got", "passed"),
    [
        (np.nan, np.nan, True),
        (np.inf, np.inf, True),
        (np.inf, -np.inf, False),
        (np.nan, 1.0, False),
        (1.0, np.inf, False),
        (1e9, 1e9 + 0.5, True),  # the rounding of double precision at that size
        (1e9, 1e9 + 2.0, False),
    ],
)
def test_values_that_are_not_small_finite_numbers(expected: float, got: float, passed: bool) -> None:
    assert compare({"s": np.array([expected])}, {"s": np.array([got])}, real=1, tolerance=1e-4).passed is passed


def test_labels_of_another_kind_are_not_the_same() -> None:
    finding = compare({"label": np.array([True])}, {"label": np.array([1])}, real=1, tolerance=1.0)
    assert finding.why == "label is integer instead of boolean"


def test_text_labels_compare_by_value() -> None:
    fixed, objects = np.array(["a", "bb"]), np.array(["a", "bb"], dtype=object)
    assert compare({"label": fixed}, {"label": objects}, real=2, tolerance=0).passed
    assert compare({"label": fixed}, {"label": objects[::-1]}, real=2, tolerance=0).label_flips == 2


def test_another_shape_or_another_set_of_outputs_is_told() -> None:
    one = {"s": np.zeros((2, 3))}
    assert "shape (2, 2) instead of (2, 3)" in compare(one, {"s": np.zeros((2, 2))}, real=2, tolerance=1).why
    assert "outputs are t instead of s" in compare(one, {"t": np.zeros((2, 3))}, real=2, tolerance=1).why
