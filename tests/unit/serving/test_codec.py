"""Inputs in all their forms, and each way in which they can be wrong, with the field that is named."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from plane_samples import NUMBERS_TABLE, ROWS_OF_3, TABLE, spec

from headrace.serving.codec import Codec
from headrace.serving.runtimes.base import Form, Inputs
from headrace.types.errors import BadInput, CallerError
from headrace.types.model import Datatype, Signature

SINGLE = np.dtype(np.float32)
TENSOR = Codec(ROWS_OF_3, Form())
NARROW = Codec(ROWS_OF_3, Form(dtypes={"input": SINGLE}))
COLUMNS = Codec(TABLE, Form())
MATRIX = Codec(NUMBERS_TABLE, Form(matrix=SINGLE))
TWO = Codec(
    Signature(inputs=(spec("x", Datatype.INT32, (-1, 2)), spec("y", Datatype.BOOL)), outputs=(spec("z"),)), Form()
)
WORDS = Codec(Signature(inputs=(spec("text", Datatype.BYTES),), outputs=(spec("z"),)), Form())
SMALL = Codec(Signature(inputs=(spec("x", Datatype.UINT8, (-1, 2)),), outputs=(spec("z"),)), Form())
BIG = Codec(Signature(inputs=(spec("x", Datatype.UINT64),), outputs=(spec("z"),)), Form())
RECORD = {"width": 1.5, "count": 2, "colour": "red"}


def decode(codec: Codec, value: Any) -> Inputs:
    return codec.decode(msgspec.Raw(value if isinstance(value, bytes) else json.dumps(value).encode()))


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1).map(lambda s: (s[0], 3)),
        elements=st.floats(-1e300, 1e300),
    )
)
def test_rows_come_through_unchanged(rows: np.ndarray) -> None:
    found = decode(TENSOR, rows.tolist())
    assert found.rows == len(rows)
    assert np.array_equal(found.arrays["input"], rows)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"width": st.floats(-1e9, 1e9), "count": st.integers(-(2**63), 2**63 - 1), "colour": st.text()}
        ),
        min_size=1,
    )
)
def test_records_and_columns_mean_the_same(records: list[dict[str, Any]]) -> None:
    by_row = decode(COLUMNS, records)
    by_column = decode(COLUMNS, {name: [r[name] for r in records] for name in RECORD})
    for name in RECORD:
        assert by_row.arrays[name].tolist() == by_column.arrays[name].tolist() == [r[name] for r in records]


@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:0123456789.eE+-nultrfasd ', max_size=60).map(str.encode))
def test_nothing_but_caller_errors_comes_of_any_bytes(text: bytes) -> None:
    for codec in (TENSOR, COLUMNS, MATRIX, TWO, WORDS):
        with suppress(CallerError):
            assert decode(codec, text).rows >= 1


def test_a_single_row_is_a_batch_of_one() -> None:
    assert decode(TENSOR, [1, 2, 3]).arrays["input"].tolist() == [[1.0, 2.0, 3.0]]
    assert decode(WORDS, "hello").arrays["text"].tolist() == ["hello"]
    assert decode(COLUMNS, RECORD).rows == 1
    assert decode(MATRIX, {"a": 1, "b": 2, "c": 3}).matrix.tolist() == [[1.0, 2.0, 3.0]]  # type: ignore[union-attr]


def test_white_space_is_no_matter() -> None:
    assert decode(TENSOR, b" [ \n [1, 2,\t3] ]").rows == 1
    assert decode(COLUMNS, b'{ "width" : [1.0], "count": [1], "colour": [ "x" ] }').rows == 1


def test_inputs_by_name() -> None:
    found = decode(TWO, {"x": [[1, 2], [3, 4]], "y": [True, False]})
    assert (found.arrays["x"].dtype, found.arrays["y"].tolist()) == (np.dtype(np.int32), [True, False])
    assert decode(TENSOR, {"input": [[1, 2, 3]]}).rows == 1


def test_arrays_have_the_type_that_the_model_computes_in() -> None:
    assert decode(TENSOR, [[1, 2, 3]]).arrays["input"].dtype == np.float64
    assert decode(NARROW, [[1, 2, 3]]).arrays["input"].dtype == np.float32
    matrix = decode(MATRIX, {"a": [1, 2], "b": [3, 4], "c": [5, 6]}).matrix
    assert matrix is not None
    assert (matrix.dtype, matrix.tolist(), matrix.flags.c_contiguous) == (SINGLE, [[1, 3, 5], [2, 4, 6]], True)


WRONG = [
    # codec, inputs, field, part of the message
    (TENSOR, [[1, 2]], "inputs", "shape [1, 2]; the model takes [n, 3]"),
    (TENSOR, [[1, 2, 3], [1, 2]], "inputs", "inputs[1] has 2 values, inputs[0] has 3"),
    (TENSOR, [[[1, 2, 3]]], "inputs", "nested 3 deep"),
    (TENSOR, 5, "inputs", "nested 0 deep"),
    (TENSOR, [], "inputs", "shape [1, 0]; the model takes [n, 3]"),
    (TENSOR, [[]], "inputs", "shape [1, 0]"),
    (TENSOR, [[1, None, 3]], "inputs[0][1]", "got 'null'"),
    (TENSOR, b"[[1, NaN, 3]]", "inputs", "malformed"),
    (TENSOR, [[1, "2", 3]], "inputs[0][1]", "got 'str'"),
    (TENSOR, [[1, True, 3]], "inputs[0][1]", "got 'bool'"),
    (TENSOR, b"[[1, 2, 1e400]]", "inputs[0][2]", "out of range"),
    (TENSOR, b"[" * 5_000 + b"]" * 5_000, "inputs", "deep"),
    (TENSOR, {"other": [[1, 2, 3]]}, "inputs.input", "'input' is missing"),
    (TENSOR, {"input": [[1, 2, 3]], "more": [1]}, "inputs.more", "there is no input 'more'; there are: input"),
    (NARROW, [[1, 2, 3], [1, 1e39, 3]], "inputs[1][1]", "1e+39 does not fit float32"),
    (SMALL, [[1, 300]], "inputs[0][1]", "255"),
    (SMALL, [[1, -1]], "inputs[0][1]", "0"),
    (SMALL, [[1, 2.5]], "inputs[0][1]", "got 'float'"),
    (BIG, [2**64], "inputs[0]", "does not fit uint64: 0 to 18446744073709551615"),
    (BIG, b"[1" + b"0" * 400 + b"]", "inputs[0]", "bits does not fit"),
    (BIG, b"[1" + b"0" * 5_000 + b"]", "inputs[0]", ""),
    (TWO, [[1, 2]], "inputs", "takes several: x, y"),
    (TWO, {"x": [[1, 2]]}, "inputs.y", "'y' is missing"),
    (TWO, {"x": [[1, 2]], "y": [True, False]}, "inputs", "differ in rows: x 1, y 2"),
    (WORDS, [1], "inputs[0]", "got 'int'"),
    (WORDS, b'["\xff"]', "inputs", "not UTF-8"),
    (COLUMNS, [], "inputs", "no rows"),
    (COLUMNS, [[1.5, 2, "red"]], "inputs[0]", "got 'array'"),
    (COLUMNS, [{"width": 1.5, "count": 2}], "inputs[0].colour", "missing required field 'colour'"),
    (COLUMNS, [RECORD, RECORD | {"size": 1}], "inputs[1].size", "unknown field 'size'"),
    (COLUMNS, [RECORD | {"count": 2.5}], "inputs[0].count", "Expected 'int', got 'float'"),
    (COLUMNS, [RECORD | {"count": 2**63}], "inputs[0].count", "9223372036854775807"),
    (COLUMNS, [RECORD | {"width": None}], "inputs[0].width", "got 'null'"),
    (COLUMNS, {"width": [1.5], "count": [2, 3], "colour": ["red"]}, "inputs", "width 1, count 2, colour 1"),
    (COLUMNS, {"width": [], "count": [], "colour": []}, "inputs", "no rows"),
    (COLUMNS, 5, "inputs", "Expected 'object'"),
    (MATRIX, [], "inputs", "no rows"),
    (MATRIX, {"a": [], "b": [], "c": []}, "inputs", "no rows"),
    (MATRIX, [{"a": 1, "b": 1e39, "c": 1}], "inputs[0].b", "does not fit float32"),
    (MATRIX, {"a": [1, 1], "b": [1, -1e39], "c": [1, 1]}, "inputs[1].b", "does not fit float32"),
    (MATRIX, [{"a": 1, "b": 2}], "inputs[0].c", "missing"),
]


@pytest.mark.parametrize(("codec", "value", "field", "message"), WRONG)
def test_what_is_wrong_is_named(codec: Codec, value: Any, field: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        decode(codec, value)
    assert caught.value.field == field
    assert message in caught.value.message


def test_a_wrong_record_is_told_what_the_model_takes() -> None:
    with pytest.raises(BadInput) as caught:
        decode(COLUMNS, [{}])
    assert caught.value.hint == "the model takes records with width (FP64), count (INT64), colour (BYTES)"


def test_bf16_is_carried_as_float32() -> None:
    codec = Codec(Signature(inputs=(spec("x", Datatype.BF16),), outputs=(spec("z"),)), Form())
    assert codec.dtypes["x"] == np.float32


def test_columns_with_odd_names() -> None:
    odd = Codec(
        Signature(inputs=(spec("sepal length (cm)"), spec("class")), outputs=(spec("z"),), layout=TABLE.layout), Form()
    )
    found = decode(odd, [{"sepal length (cm)": 5.1, "class": 1.0}])
    assert found.arrays["sepal length (cm)"].tolist() == [5.1]
