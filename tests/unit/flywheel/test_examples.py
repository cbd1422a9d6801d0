"""Which answer is right, and what becomes a row."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.flywheel.columns import Columns, flatten, join, kind_of
from headrace.flywheel.examples import COLUMNS, Said, examples_of, split_inputs, sum_up
from headrace.flywheel.selection import Format, Rating, read_selection
from headrace.types.call import FeedbackName
from headrace.types.errors import BadInput
from tests.control_samples import call, corrected, down, said, up


def rows_of(of: Any, *feedback: Any) -> list[dict[str, Any]]:
    return examples_of(of, sum_up(feedback), "digits").rows


def test_nobody_said_anything() -> None:
    (row,) = rows_of(call(3))
    assert tuple(row) == COLUMNS
    assert (row["output"], row["label"], row["rating"], row["corrected"]) == (3, None, None, False)


def test_a_thumbs_up_makes_the_output_the_label() -> None:
    one = call(3)
    (row,) = rows_of(one, up(one))
    assert (row["label"], row["rating"], row["corrected"]) == (3, True, False)


def test_a_thumbs_down_says_not_what_is_right() -> None:
    one = call(3)
    (row,) = rows_of(one, down(one))
    assert (row["label"], row["rating"]) == (None, False)


@pytest.mark.parametrize("rating", [up, down])
def test_a_correction_wins(rating: Any) -> None:
    one = call(3)
    (row,) = rows_of(one, rating(one, after=50.0), corrected(one, 7))
    assert (row["output"], row["label"], row["corrected"]) == (3, 7, True)


@pytest.mark.parametrize("value", [7, [7]])
def test_a_correction_of_one_row_may_come_as_a_list(value: Any) -> None:
    one = call(3)
    assert rows_of(one, corrected(one, value))[0]["label"] == 7


def test_many_rows() -> None:
    one = call(1, rows=3, input=[[1, 2], [3, 4], [5, 6]], output=[1, 2, 3])
    found = rows_of(one, corrected(one, [7, 8, 9]))
    assert [(r["inputs"], r["output"], r["label"]) for r in found] == [([1, 2], 1, 7), ([3, 4], 2, 8), ([5, 6], 3, 9)]
    misfit = examples_of(one, sum_up([corrected(one, 7), up(one)]), "digits")
    assert misfit.misfits == 1
    assert [r["label"] for r in misfit.rows] == [1, 2, 3], "it belongs to no row; the thumbs up stands"
    assert not any(r["corrected"] for r in misfit.rows)


def test_a_call_that_was_not_kept_gives_no_row() -> None:
    one = call(1, input=None, output=None)
    assert rows_of(one, corrected(one, 7)) == []


def test_the_newest_word_of_anyone_counts() -> None:
    one = call(1)
    items = [up(one, rater="ann", after=1.0), down(one, rater="bob", after=2.0)]
    items += [corrected(one, 4, rater="bob", after=3.0), corrected(one, 5, rater="ann", after=4.0)]
    random.Random(1).shuffle(items)
    assert sum_up(items) == Said(rating=False, correction=5, corrected=True)


def test_comments() -> None:
    one = call(1)
    assert sum_up([said(one, FeedbackName.COMMENT, "too dark")]).comment == "too dark"


@pytest.mark.parametrize(
    ("value", "rows", "wanted"),
    [
        ([[1, 2]], 1, [[1, 2]]),
        ([1, 2], 1, [[1, 2]]),
        ([5], 1, [[5]]),
        ([[1, 2], [3, 4]], 2, [[1, 2], [3, 4]]),
        ([[[1], [2]]], 1, [[[1], [2]]]),
        ({"a": 1, "b": "x"}, 1, [{"a": 1, "b": "x"}]),
        ([{"a": 1}, {"a": 2}], 2, [{"a": 1}, {"a": 2}]),
        ({"a": [1, 2], "b": [3, 4]}, 2, [{"a": 1, "b": 3}, {"a": 2, "b": 4}]),
        ({"image": [[0, 1]]}, 1, [{"image": [0, 1]}]),
        ({"image": [0, 1, 2]}, 1, [{"image": [0, 1, 2]}]),
        ({"a": [1, 2], "b": [3]}, 2, None),
        ([1, 2, 3], 2, None),
        ("text", 1, ["text"]),
        ("text", 2, None),
    ],
)
def test_every_form_of_inputs(value: Any, rows: int, wanted: Any) -> None:
    assert split_inputs(value, rows) == wanted


@pytest.mark.parametrize(
    ("rating", "matching"),
    [
        (None, {"none", "up", "down", "fixed", "comment"}),
        (Rating.UP, {"up"}),
        (Rating.DOWN, {"down"}),
        (Rating.CORRECTED, {"fixed"}),
        (Rating.ANY, {"up", "down", "fixed", "comment"}),
    ],
)
def test_ratings_select(rating: Rating | None, matching: set[str]) -> None:
    cases = {
        "none": Said(),
        "up": Said(rating=True),
        "down": Said(rating=False),
        "fixed": Said(corrected=True, correction=0),
        "comment": Said(comment="hm"),
    }
    assert {name for name, what in cases.items() if what.matches(rating)} == matching


# columns

KINDS = ["null", "bool", "int", "float", "str", "list[float]", "json"]


@given(st.sampled_from(KINDS), st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_join_is_a_join(a: str, b: str, c: str) -> None:
    assert join(a, b) == join(b, a)
    assert join(join(a, b), c) == join(a, join(b, c))
    assert join(a, a) == a


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"), (True, "bool"), (1, "int"), (1 << 70, "json"), (1.5, "float"), ("x", "str"),
        ([1, 2.5], "list[float]"), ([], "list[float]"), ([True], "json"), ([[1]], "json"), ({"a": 1}, "json"),
    ],
)  # fmt: skip
def test_kinds(value: Any, kind: str) -> None:
    assert kind_of(value) == kind


def test_named_inputs_become_columns() -> None:
    columns = Columns(("trace_id", "inputs", "label"))
    for row in (
        {"trace_id": "a", "inputs": {"age": 3, "name": "x"}, "label": 1},
        {"trace_id": "b", "inputs": {"age": 3.5}, "label": None},
    ):
        columns.look(row)
    assert columns.kinds == {
        "trace_id": "str", "label": "int", "inputs.age": "float", "inputs.name": "str",
    }  # fmt: skip
    assert flatten({"inputs": {"age": 3}, "label": 1}) == {"label": 1, "inputs.age": 3}
    assert flatten({"inputs": [1]}) == {"inputs": [1]}


# selection


def test_a_whole_selection() -> None:
    found = read_selection(
        {
            "model": "digits",
            "rating": "thumbs_up",
            "from": "2026-01-01",
            "to": "2026-01-31",
            "format": "CSV",
            "endpoint": "",
        }
    )
    assert (found.format, found.rating, found.endpoint) == (Format.CSV, Rating.UP, None)
    assert (found.since, found.until) == (1767225600.0, 1769904000.0), "a date as `to` includes that day"
    assert found.query == "model=digits&rating=up&from=1767225600.0&to=1769904000.0"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1767225600", 1767225600.0),
        ("2026-01-01T00:00:00Z", 1767225600.0),
        ("2026-01-01T01:00:00+01:00", 1767225600.0),
        ("2026-01-01 00:00", 1767225600.0),
    ],
)
def test_times(text: str, seconds: float) -> None:
    assert read_selection({"model": "m", "from": text}).since == seconds


@pytest.mark.parametrize(
    ("parameters", "field", "told"),
    [
        ({}, "model", "missing"),
        ({"model": " "}, "model", "missing"),
        ({"model": "m", "rating": "good"}, "rating", "up, down, corrected, any"),
        ({"model": "m", "format": "xlsx"}, "format", "csv, jsonl, parquet"),
        ({"model": "m", "from": "yesterday"}, "from", "2026-01-31"),
        ({"model": "m", "to": "nan"}, "to", "no time"),
        ({"model": "m", "to": "1e300"}, "to", "no time"),
        ({"model": "m", "from": "2026-02-01", "to": "2026-01-01"}, "from", "not before"),
        ({"model": "m", "colour": "red"}, "colour", "endpoint"),
    ],
)
def test_bad_parameters_name_themselves(parameters: dict[str, str], field: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        read_selection(parameters)
    assert caught.value.field == field
