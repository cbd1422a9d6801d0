"""An answer outside the signature is the model's failure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from plane_samples import ROWS_OF_3, spec

from headrace.serving.answer import Check, finite, to_json
from headrace.types.errors import ModelFailed
from headrace.types.model import Datatype, Signature

CHECK = Check(ROWS_OF_3)
LABEL = np.array([1, 0], dtype=np.int64)
SCORES = np.array([[0.1, 0.9], [0.8, 0.2]], dtype=np.float32)


def test_a_good_answer_passes() -> None:
    assert CHECK([LABEL, SCORES], 2)[0].tolist() == [1, 0]


def test_one_column_becomes_one_value_per_row() -> None:
    found = CHECK([LABEL.reshape(-1, 1), SCORES], 2)
    assert found[0].shape == (2,)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([LABEL], "1 outputs; its signature has 2"),
        ([LABEL[:1], SCORES], "'label' has shape [1] for 2 rows"),
        ([np.int64(3), SCORES], "'label' has shape []"),
        ([LABEL, SCORES[:, :1]], "'scores' has shape [2, 1]; its signature says [n, 2]"),
        ([LABEL, SCORES.ravel()[:2]], "'scores' has shape [2]"),
        ([LABEL.astype(float), SCORES], "'label' is float64; its signature says INT64"),
        ([np.array(["a", "b"]), SCORES], "'label' is "),
        ([LABEL, np.array([[0.1, np.nan], [0.8, 0.2]])], "'scores' has 1 values that are NaN or infinite"),
        ([LABEL, np.array([[np.inf, np.nan], [0.8, -np.inf]])], "'scores' has 3 values"),
    ],
)
def test_a_bad_answer_is_named(outputs: list[Any], message: str) -> None:
    with pytest.raises(ModelFailed) as caught:
        CHECK([np.asarray(o) for o in outputs], 2)
    assert message in caught.value.message


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3), elements=st.floats(width=32)))
def test_finite_agrees_with_numpy(array: np.ndarray) -> None:
    assert finite(array) == bool(np.isfinite(array).all())


def test_whole_numbers_may_stand_for_floats() -> None:
    check = Check(Signature(inputs=(), outputs=(spec("y"),)))
    assert check([np.array([1, 2])], 2)[0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("array", "json"),
    [
        (np.array([1, 2]), b"[1,2]"),
        (np.array([[0.5, 1.0]]), b"[[0.5,1.0]]"),
        (np.array(["a", "ü"], dtype=object), '["a","ü"]'.encode()),
        (np.array(["a", "b"]), b'["a","b"]'),
        (np.array([True]), b"[true]"),
    ],
)
def test_json_has_one_entry_per_row(array: Any, json: bytes) -> None:
    assert to_json(array, spec("y")) == json


def test_what_json_cannot_hold_is_the_models_failure() -> None:
    with pytest.raises(ModelFailed, match="'y' cannot be written as JSON"):
        to_json(np.array([object()], dtype=object), spec("y", Datatype.BYTES))
