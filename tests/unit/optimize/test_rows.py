"""Rows become arrays of the signature's types, or are left out; no value is changed on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.optimize.rows import finite, from_example, from_json, join, rows_of, take
from headrace.types.model import Datatype, Layout, Signature, TensorSpec

MATRIX = Signature(inputs=(TensorSpec(name="input", datatype=Datatype.FP64, shape=(-1, 2)),), outputs=())
TABLE = Signature(
    inputs=(
        TensorSpec(name="age", datatype=Datatype.INT64, shape=(-1,)),
        TensorSpec(name="town", datatype=Datatype.BYTES, shape=(-1,)),
        TensorSpec(name="member", datatype=Datatype.BOOL, shape=(-1,)),
    ),
    outputs=(),
    layout=Layout.COLUMNS,
)


def test_nested_lists_and_objects_are_rows_of_a_matrix() -> None:
    table, odd = from_json([[1, 2], {"input": [3.5, 4]}], MATRIX)
    assert odd == 0
    assert table["input"].tolist() == [[1, 2], [3.5, 4]]
    assert table["input"].dtype == np.float64


def test_records_and_lists_are_rows_of_a_table() -> None:
    table, odd = from_json([{"age": 3, "town": "Bonn", "member": True}, [4, "Ulm", False]], TABLE)
    assert odd == 0
    assert [array.tolist() for array in table.values()] == [[3, 4], ["Bonn", "Ulm"], [True, False]]


@pytest.mark.parametrize("row", [[1], [1, 2, 3], [[1, 2]], "text", None, {}, {"other": [1, 2]}, [1, None], [1, "x"]])
def test_a_row_that_does_not_fit_is_left_out_and_counted(row: Any) -> None:
    table, odd = from_json([[1, 2], row], MATRIX)
    assert odd == 1
    assert rows_of(table) == 1


@pytest.mark.parametrize(
    "row", [{"age": 3.5, "town": "a", "member": True}, {"age": 3, "town": 7, "member": True}, {"age": 3, "town": "a"}]
)
def test_a_cast_that_would_change_a_value_is_refused(row: Any) -> None:
    assert from_json([row], TABLE) == ({}, 1)


@given(st.lists(st.lists(st.floats(allow_nan=False), min_size=2, max_size=2), max_size=6))
def test_every_fitting_row_is_kept_as_it_is(rows: list[list[float]]) -> None:
    table, odd = from_json(rows, MATRIX)
    assert odd == 0
    assert (table["input"].tolist() if rows else []) == rows


def test_an_example_of_one_row_gets_its_batch_dimension() -> None:
    assert from_example({"input": np.array([1, 2])}, MATRIX)["input"].shape == (1, 2)


def test_an_example_of_another_width_or_with_a_column_missing_is_none() -> None:
    assert from_example({"input": np.zeros((3, 5))}, MATRIX) == {}
    assert from_example({"age": np.array([1])}, TABLE) == {}


def test_rows_that_json_cannot_carry_are_dropped() -> None:
    kept = finite({"a": np.array([1.0, np.nan, np.inf, 2.0]), "b": np.array(["w", "x", "y", "z"], dtype=object)})
    assert kept["a"].tolist() == [1.0, 2.0]
    assert kept["b"].tolist() == ["w", "z"]


def test_join_and_take() -> None:
    joined = join([{}, {"a": np.array([1, 2])}, {"a": np.array([3])}])
    assert joined["a"].tolist() == [1, 2, 3]
    assert take(joined, slice(1, 2))["a"].tolist() == [2]
    assert join([{}]) == {}
