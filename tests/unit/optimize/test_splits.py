"""Rows at split values find what real rows do not: a threshold or an input that was rounded the wrong way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from saved_models import digits, iris
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from headrace.optimize.splits import LIMIT, find_sites, neighbours, split_rows

Columns = tuple[np.ndarray, ...]


def matrix(columns: Columns) -> np.ndarray:
    return np.stack(columns, axis=1)


def columns_of(rows: np.ndarray) -> Columns:
    return tuple(rows.T.copy())


@given(st.floats(-1e6, 1e6), st.sampled_from([np.float32, np.float64]))
def test_neighbours_lie_on_both_sides(threshold: float, kind: Any) -> None:
    found = neighbours(threshold, np.dtype(kind))
    assert min(found) < threshold < max(found)
    assert all(kind(value) == value for value in found)


def test_neighbours_of_integers_are_integers() -> None:
    assert neighbours(3.5, np.dtype(np.int64)) == [3.0, 4.0]


def test_every_split_of_a_tree_gets_a_row_on_each_side() -> None:
    inputs, classes = digits()
    tree = DecisionTreeClassifier(random_state=0).fit(inputs, classes)
    rows = split_rows(tree, columns_of(inputs[:50]), as_input=matrix)
    assert rows is not None
    assert len(rows[0]) <= LIMIT
    inner = tree.tree_.children_left != -1
    for feature, threshold in zip(tree.tree_.feature[inner], tree.tree_.threshold[inner], strict=True):
        near = rows[feature][np.isclose(rows[feature], threshold, rtol=1e-6)]
        assert (near <= threshold).any()
        assert (near > threshold).any()


def test_split_rows_catch_a_threshold_rounded_up() -> None:
    """A naive converter stores float32(threshold): a row between the two goes the other way."""
    random = np.random.default_rng(1)
    inputs = random.random((400, 3))
    tree = DecisionTreeClassifier(max_depth=5, random_state=0).fit(inputs, inputs.sum(axis=1) > 1.5)
    naive = DecisionTreeClassifier(max_depth=5, random_state=0).fit(inputs, inputs.sum(axis=1) > 1.5)
    naive.tree_.threshold[:] = np.nextafter(naive.tree_.threshold.astype(np.float32), np.float32(np.inf))
    rows = split_rows(tree, columns_of(inputs), as_input=matrix)
    assert rows is not None
    assert (tree.predict(inputs) == naive.predict(inputs)).all()
    assert (tree.predict(matrix(rows)) != naive.predict(matrix(rows))).any()


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), make_pipeline(StandardScaler(), MinMaxScaler())])
def test_splits_behind_a_scaler_are_closed_in_on_until_neighbours(scaler: Any) -> None:
    inputs, classes = digits()
    model = make_pipeline(scaler, DecisionTreeClassifier(max_depth=4, random_state=0)).fit(inputs, classes)
    rows = split_rows(model, columns_of(inputs), as_input=matrix)
    assert rows is not None
    low, high = np.split(matrix(rows), 2)
    assert len(low) > 5
    for below, above in zip(low, high, strict=True):
        assert not np.array_equal(below, above)
        assert np.allclose(below, above, rtol=1e-12, atol=1e-12)
    assert (model.predict_proba(low) != model.predict_proba(high)).any(axis=1).mean() > 0.2


def test_integer_inputs_stay_integers() -> None:
    inputs, classes = digits()
    whole = inputs.astype(np.int64)
    for model in (DecisionTreeClassifier(), make_pipeline(StandardScaler(), DecisionTreeClassifier())):
        rows = split_rows(model.fit(whole, classes), columns_of(whole), as_input=matrix)
        assert rows is not None
        assert all(column.dtype == np.int64 for column in rows)


def test_text_columns_are_carried_along() -> None:
    frame, classes = iris()
    frame = frame.assign(colour=np.where(np.arange(len(frame)) % 2, "red", "blue"))
    encode = ColumnTransformer(
        [("n", StandardScaler(), list(frame.columns[:4])), ("c", OneHotEncoder(), ["colour"])], sparse_threshold=1.0
    )
    model = make_pipeline(encode, RandomForestClassifier(5, random_state=0)).fit(frame, classes)
    columns = tuple(frame[name].to_numpy() for name in frame.columns)

    def as_input(given: Columns) -> Any:
        return type(frame)(dict(zip(frame.columns, given, strict=True)))

    rows = split_rows(model, columns, as_input=as_input)
    assert rows is not None
    assert len(rows[0]) > 10
    assert set(rows[4]) <= {"red", "blue"}
    model.predict(as_input(rows))


@pytest.mark.parametrize(
    ("model", "trees"),
    [
        (RandomForestClassifier(7, random_state=0), 7),
        (GradientBoostingClassifier(n_estimators=4), 12),
        (HistGradientBoostingClassifier(max_iter=4), 12),
        (VotingClassifier([("a", LogisticRegression(max_iter=500)), ("b", RandomForestClassifier(3))]), 3),
        (BaggingClassifier(DecisionTreeClassifier(), n_estimators=5, max_features=0.5, random_state=0), 5),
        (LogisticRegression(max_iter=500), 0),
    ],
)
def test_trees_are_found_however_they_are_wrapped(model: Any, trees: int) -> None:
    inputs, classes = iris()
    sites = list(find_sites(model.fit(inputs.to_numpy(), classes)))
    assert len(sites) == trees
    assert all(site.features.max(initial=0) < 4 for site in sites)


def test_a_model_without_trees_has_no_split_rows() -> None:
    inputs, classes = digits()
    model = LogisticRegression(max_iter=50).fit(inputs[:200] / 16, classes[:200])
    assert split_rows(model, columns_of(inputs[:20]), as_input=matrix) is None


def test_the_choice_of_rows_is_fixed() -> None:
    inputs, classes = digits()
    model = RandomForestClassifier(40, random_state=0).fit(inputs + 0.001 * np.arange(64), classes)
    one, two = (split_rows(model, columns_of(inputs[:30]), as_input=matrix, limit=200) for _ in range(2))
    assert one is not None
    assert two is not None
    assert len(one[0]) == 200
    assert np.array_equal(matrix(one), matrix(two))
