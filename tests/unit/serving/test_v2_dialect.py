"""V2 tensors to arrays and back; what is wrong names the tensor."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from plane_samples import NUMBERS_TABLE, ROWS_OF_3, TABLE

from headrace.serving.codec import Codec
from headrace.serving.runtimes.base import Form, Inputs
from headrace.serving.v2 import InferRequest, V2Dialect, schedule
from headrace.types.errors import BadInput

TENSOR = Codec(ROWS_OF_3, Form(dtypes={"input": np.dtype(np.float32)}))
MATRIX = Codec(NUMBERS_TABLE, Form(matrix=np.dtype(np.float32)))
COLUMNS = Codec(TABLE, Form())


def dialect(*tensors: dict[str, Any], **more: Any) -> V2Dialect:
    return V2Dialect(msgspec.json.decode(json.dumps({"inputs": tensors, **more}).encode(), type=InferRequest))


def tensor(data: Any, shape: list[int], datatype: str = "FP64", name: str = "input") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def read(codec: Codec, *tensors: dict[str, Any], **more: Any) -> Inputs:
    return dialect(*tensors, **more).read(codec)


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]])
@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT32", "UINT8"])
def test_flat_and_nested_data_and_safe_types(data: list[Any], datatype: str) -> None:
    found = read(TENSOR, tensor(data, [2, 3], datatype)).arrays["input"]
    assert (found.tolist(), found.dtype) == ([[1, 2, 3], [4, 5, 6]], np.float32)


def test_columns_as_vectors_or_as_one_wide_matrices() -> None:
    for shape, wrap in (([2], False), ([2, 1], True)):
        data = {
            name: [[v] for v in values] if wrap else values
            for name, values in {"a": [1, 2], "b": [3, 4], "c": [5, 6]}.items()
        }
        found = read(MATRIX, *(tensor(data[n], shape, "FP32", n) for n in "cab"))
        assert found.matrix is not None
        assert found.matrix.tolist() == [[1, 3, 5], [2, 4, 6]]


WRONG = [
    (
        [tensor([1, 2, 3], [1, 3], name="other")],
        "inputs.input",
        "'input' is missing; the model takes: input FP64 [n, 3]",
    ),
    ([tensor([1, 2, 3], [1, 3]), tensor([1], [1], name="more")], "inputs.more", "no input 'more'"),
    ([tensor([1, 2, 3], [1, 3])] * 2, "inputs", "two tensors"),
    ([tensor([1, 2, 3], [1, 3], "FLOAT")], "inputs.input.datatype", "'FLOAT' is unknown"),
    ([tensor(["a", "b", "c"], [1, 3], "BYTES")], "inputs.input.datatype", "is BYTES; the model takes FP64"),
    ([tensor([1, 2, 3], [3])], "inputs.input.shape", "is [3]; the model takes [n, 3]"),
    ([tensor([1, 2, 3, 4], [2, 2])], "inputs.input.shape", "[2, 2]"),
    ([tensor([1, 2, 3], [-1, 3])], "inputs.input.shape", "cannot be"),
    ([tensor([], [])], "inputs.input.shape", "is []; the model takes [n, 3]"),
    ([tensor([1, 2], [1, 3])], "inputs.input.data", "2 values; shape [1, 3] has 3"),
    ([tensor([1, 2], [2**31, 3])], "inputs.input.data", "2 values"),
    ([tensor([1, 2], [9_000_000_000, 3])], "inputs.input.shape", "cannot be"),
    ([tensor([], [0, 2**64])], "inputs.input.shape", "cannot be"),
    ([{"name": "input", "shape": [1, 3], "datatype": "FP64"}], "inputs.input", "no data"),
    (
        [{"name": "input", "shape": [1, 3], "datatype": "FP64", "parameters": {"binary_data_size": 24}}],
        "inputs.input",
        "no data without header inference-header-content-length",
    ),
    ([tensor([[1, 2], [3]], [1, 3])], "inputs.input.data", "nested otherwise"),
    ([tensor([[[1, 2, 3]]], [1, 3])], "inputs.input.data", "nested 3 deep"),
    ([tensor([1, None, 3], [1, 3])], "inputs.input.data[1]", "null"),
    ([tensor([1, 1e39, 3], [1, 3])], "inputs.input.data[1]", "does not fit float32"),
    ([tensor([1, 300, 3], [1, 3], "UINT8")], "inputs.input.data[1]", "255"),
    ([tensor([], [0, 3])], "inputs", "no rows"),
]


@pytest.mark.parametrize(("tensors", "field", "message"), WRONG)
def test_what_is_wrong_names_the_tensor(tensors: list[dict[str, Any]], field: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(TENSOR, *tensors)
    assert caught.value.field == field
    assert message in caught.value.message


def test_an_unknown_output_is_refused_before_the_model_runs() -> None:
    with pytest.raises(BadInput, match="no output 'odd'; there are: label, scores"):
        read(TENSOR, tensor([1, 2, 3], [1, 3]), outputs=[{"name": "odd"}])


def test_outputs_are_tensors_and_can_be_chosen() -> None:
    outputs = [np.array([1, 0]), np.array([[0.5, 0.5], [1.0, 0.0]], dtype=np.float32)]
    asked = dialect(tensor([1, 2, 3], [1, 3]), outputs=[{"name": "scores"}])
    asked.read(TENSOR)
    assert json.loads(asked.write(outputs, ROWS_OF_3, b"")) == [
        {"name": "scores", "datatype": "FP32", "shape": [2, 2], "data": [0.5, 0.5, 1.0, 0.0]}
    ]
    for names in ([], ["scores", "label"]):
        asked = dialect(tensor([1, 2, 3], [1, 3]), outputs=[{"name": name} for name in names])
        asked.read(TENSOR)
        written = json.loads(asked.write(outputs, ROWS_OF_3, b""))
        assert [o["name"] for o in written] == (names or ["label", "scores"])


WRONG_PARAMETERS = [
    ({"outputs": [{"name": "label"}, {"name": "label"}]}, "outputs", "asked for twice"),
    ({"parameters": {"binary_data_output": 1}}, "parameters.binary_data_output", "allowed: true, false"),
    ({"outputs": [{"name": "label", "parameters": {"binary_data": "yes"}}]}, "parameters.binary_data", "'yes'"),
    ({"outputs": [{"name": "label", "parameters": {"classification": -1}}]}, "outputs.label", "number of classes"),
    ({"outputs": [{"name": "label", "parameters": {"classification": True}}]}, "outputs.label", "number of classes"),
]


@pytest.mark.parametrize(("more", "field", "message"), WRONG_PARAMETERS)
def test_a_wrong_parameter_is_refused_before_the_model_runs(more: Any, field: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read(TENSOR, tensor([1, 2, 3], [1, 3]), **more)
    assert caught.value.field == field


def test_classes_are_the_highest_values_with_their_place() -> None:
    outputs = [np.array([3, 7]), np.array([[0.25, 0.75], [0.5, 0.5]], dtype=np.float32)]
    wanted = [{"name": name, "parameters": {"classification": k}} for name, k in (("scores", 5), ("label", 1))]
    asked = dialect(tensor([1, 2, 3], [1, 3]), outputs=wanted)
    asked.read(TENSOR)
    assert json.loads(asked.write(outputs, ROWS_OF_3, b"")) == [
        {
            "name": "scores",
            "datatype": "BYTES",
            "shape": [2, 2],
            "data": ["0.750000:1", "0.250000:0", "0.500000:0", "0.500000:1"],
        },
        {"name": "label", "datatype": "BYTES", "shape": [2, 1], "data": ["3:0", "7:0"]},
    ]


@pytest.mark.parametrize("value", [-1, 1.5, True, "1", None, 2**63])
@pytest.mark.parametrize("name", ["priority", "timeout"])
def test_a_schedule_is_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(BadInput, match=f"{name} is"):
        schedule({name: value})
    assert schedule({"priority": 2, "timeout": 500, "mine": "x"}) == (2, 500)


def test_the_journal_keeps_inputs_as_predict_takes_them() -> None:
    """Fed back through the codec, they are the same inputs."""
    columns = [
        tensor([1.5, 2.5], [2], name="width"),
        tensor([1, 2], [2], "INT64", "count"),
        tensor(["a", "b"], [2], "BYTES", "colour"),
    ]
    numbers = [tensor([1, 2], [2], name=name) for name in "cba"]
    for codec, tensors in ((TENSOR, [tensor([1, 2, 3], [1, 3])]), (COLUMNS, columns), (MATRIX, numbers)):
        asked = dialect(*tensors)
        inputs = asked.read(codec)
        again = codec.decode(msgspec.Raw(asked.kept(inputs)))
        assert again.rows == inputs.rows
        assert {n: a.tolist() for n, a in again.arrays.items()} == {n: a.tolist() for n, a in inputs.arrays.items()}
        assert (None if again.matrix is None else again.matrix.tolist()) == (
            None if inputs.matrix is None else inputs.matrix.tolist()
        )
