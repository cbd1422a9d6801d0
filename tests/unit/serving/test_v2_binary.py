"""V2 tensors as bytes: every datatype there and back, and nothing but BadInput for bytes that cannot be."""

from __future__ import annotations

import json
import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plane_samples import ROWS_OF_3, spec

from headrace.serving.codec import DTYPES, Codec
from headrace.serving.runtimes.base import Form
from headrace.serving.v2 import InferRequest, Tensor, V2Dialect
from headrace.serving.v2_binary import from_bytes, narrowed, to_bytes, widened
from headrace.types.errors import BadInput
from headrace.types.model import Datatype, Signature

TENSOR = Codec(ROWS_OF_3, Form(dtypes={"input": np.dtype(np.float32)}))
VALUES: dict[Datatype, list[Any]] = {
    **{kind: [0, 1, 2, 100] for kind in Datatype},
    Datatype.BOOL: [True, False, True, True],
    Datatype.INT8: [-128, 127, 0, 1],
    Datatype.INT64: [-(2**63), 2**63 - 1, 0, 1],
    Datatype.UINT64: [2**64 - 1, 0, 1, 2],
    Datatype.BF16: [1.0, -2.5, 3.3895313892515355e38, 0.0],
    Datatype.FP16: [65504.0, -0.5, 0.0, 1.0],
    Datatype.BYTES: ["", "é" * 300, "a\0b", b"\xff\xfe"],
}


def codec_of(*datatypes: Datatype) -> Codec:
    specs = tuple(spec(f"in{i}", kind) for i, kind in enumerate(datatypes))
    return Codec(Signature(inputs=specs, outputs=specs), Form())


def ask(
    blob: bytes, *tensors: dict[str, Any], codec: Codec = TENSOR, **more: Any
) -> tuple[V2Dialect, dict[str, np.ndarray[Any, Any]]]:
    request = msgspec.json.decode(json.dumps({"inputs": tensors, **more}), type=InferRequest)
    dialect = V2Dialect(request, memoryview(blob))
    return dialect, dialect.read(codec).arrays


def tensor(name: str, shape: list[int], datatype: str, size: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}


@pytest.mark.parametrize("datatype", list(Datatype))
def test_every_datatype_there_and_back(datatype: Datatype) -> None:
    array = np.empty(4, dtype=DTYPES[datatype])
    array[:] = VALUES[datatype]
    blob = bytes(to_bytes(array, datatype))
    request = tensor("in0", [4], datatype.value, len(blob))
    dialect, arrays = ask(blob, request, codec=codec_of(datatype), parameters={"binary_data_output": True})
    assert arrays["in0"].tolist() == array.tolist()
    written = json.loads(dialect.write([arrays["in0"]], codec_of(datatype).signature, b""))
    size = {"binary_data_size": len(blob)}
    assert written == [{"name": "in0", "datatype": datatype.value, "shape": [4], "parameters": size}]
    assert b"".join(dialect.tail) == blob


def test_json_and_binary_in_one_request_and_one_answer() -> None:
    codec = codec_of(Datatype.FP32, Datatype.INT32, Datatype.BYTES)
    first, third = np.array([1.5, 2.5], "<f4").tobytes(), b"\x01\0\0\0a\x02\0\0\0bc"
    dialect, arrays = ask(
        first + third,
        tensor("in0", [2], "FP32", len(first)),
        {"name": "in1", "shape": [2], "datatype": "INT32", "data": [7, 8]},
        tensor("in2", [2], "BYTES", len(third)),
        codec=codec,
        outputs=[{"name": "in2", "parameters": {"binary_data": True}}, {"name": "in1"}],
    )
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "in0": [1.5, 2.5],
        "in1": [7, 8],
        "in2": ["a", "bc"],
    }
    written = json.loads(dialect.write(list(arrays.values()), codec.signature, b""))
    assert [(o["name"], "data" in o) for o in written] == [("in2", False), ("in1", True)]
    assert b"".join(dialect.tail) == third


def test_numbers_come_in_the_type_of_the_model() -> None:
    _, arrays = ask(np.array([1, 2, 3], "<f8").tobytes(), tensor("input", [1, 3], "FP64", 24))
    assert (arrays["input"].dtype, arrays["input"].tolist()) == (np.float32, [[1, 2, 3]])


@given(
    st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=1, max_size=30),
    st.sampled_from(["<f8", "<f4"]),
)
@settings(deadline=None)
def test_the_short_way_and_the_long_way_agree(rows: list[list[float]], wire: str) -> None:
    """A request that names an output takes the long way."""
    blob = np.array(rows, wire).tobytes()
    made = spec("input", Datatype.FP64 if wire == "<f8" else Datatype.FP32, (-1, 3))
    codec = Codec(Signature(inputs=(made,), outputs=(spec("y"),)), Form(dtypes={"input": np.dtype(np.float32)}))
    request = tensor("input", [len(rows), 3], made.datatype.value, len(blob))
    finite = np.isfinite(np.array(rows)).all()
    if not finite:
        with pytest.raises(BadInput, match="NaN or infinite"):
            ask(blob, request, codec=codec)
        return
    _, short = ask(blob, request, codec=codec)
    _, long = ask(blob, request, codec=codec, outputs=[{"name": "y"}])
    assert short["input"].tolist() == long["input"].tolist() == np.array(rows, "<f4").tolist()
    assert (short["input"].dtype, short["input"].shape) == (np.float32, (len(rows), 3))


def test_a_large_aligned_tensor_is_not_copied() -> None:
    blob = np.zeros(30_000, "<f4").tobytes()
    array = from_bytes(memoryview(blob), "FP32", 30_000, "x")
    assert np.shares_memory(array, np.frombuffer(blob, "<f4"))
    odd = from_bytes(memoryview(b"x" + blob)[1:], "FP32", 30_000, "x")
    assert odd.flags.aligned


@pytest.mark.parametrize(("value", "bits"), [(1.0, 0x3F80), (1.00390625, 0x3F80), (1.01171875, 0x3F82), (-2.5, 0xC020)])
def test_bf16_is_rounded_to_the_nearest_even(value: float, bits: int) -> None:
    assert narrowed(np.array([value], np.float32)).tolist() == [bits]


@settings(deadline=None)
@given(st.lists(st.integers(0, 0x7F7F) | st.integers(0x8000, 0xFF7F), max_size=20))
def test_bf16_loses_nothing_on_the_way(bits: list[int]) -> None:
    array = np.array(bits, "<u2")
    assert narrowed(widened(array)).tolist() == bits


ROW = np.array([1, 2, 3], "<f8").tobytes()
WRONG = [
    (ROW, [tensor("input", [1, 3], "FP64", 23)], "inputs", "1 bytes of the body belong to no tensor"),
    (ROW[:23], [tensor("input", [1, 3], "FP64", 23)], "inputs.input", "it has 23 bytes; 3 values of FP64 have 24"),
    (ROW, [tensor("input", [1, 3], "FP64", 25)], "inputs.input", "is 25; 24 bytes are left"),
    (ROW, [tensor("input", [1, 3], "FP64", -1)], "inputs.input", "is -1; allowed"),
    (ROW, [tensor("input", [1, 3], "FP64", True)], "inputs.input", "is True; allowed"),
    (ROW, [tensor("input", [1, 3], "FP64", "24")], "inputs.input", "is '24'; allowed"),
    (ROW, [tensor("input", [1, 3], "FP32", 24)], "inputs.input", "3 values of FP32 have 12"),
    (ROW, [tensor("input", [2**31, 3], "FP64", 24)], "inputs.input", "have 51539607552"),
    (ROW, [tensor("input", [1, 3], "FP64", 24) | {"data": [1, 2, 3]}], "inputs.input", "send one of them"),
    (b"", [tensor("input", [0, 3], "FP64", 0)], "inputs", "no rows"),
    (np.array([1, np.nan, 3], "<f8").tobytes(), [tensor("input", [1, 3], "FP64", 24)], "inputs.input", "1 of 3 values"),
    (np.array([1, 1e39, 3], "<f8").tobytes(), [tensor("input", [1, 3], "FP64", 24)], "inputs.input", "does not fit"),
    (b"", [{"name": "input", "shape": [1, 3], "datatype": "FP64"}], "inputs.input", "no data"),
]


@pytest.mark.parametrize(("blob", "tensors", "field", "message"), WRONG)
def test_what_is_wrong_names_the_tensor(blob: bytes, tensors: list[Any], field: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        ask(blob, *tensors)
    assert caught.value.field == field
    assert message in caught.value.message


@pytest.mark.parametrize(
    "blob",
    [
        b"\x01\0\0",
        b"\x05\0\0\0ab",
        b"\x01\0\0\0a",
        b"\x01\0\0\0a" * 3,
        b"\x01\0\0\0a" * 2 + b"x",
        b"\xff\xff\xff\xff",
        b"",
    ],
)
def test_texts_must_fill_their_bytes(blob: bytes) -> None:
    with pytest.raises(BadInput):
        from_bytes(memoryview(blob), "BYTES", 2, "x")


def test_the_journal_keeps_binary_inputs_as_predict_takes_them() -> None:
    dialect, _ = ask(ROW, tensor("input", [1, 3], "FP64", 24))
    assert dialect.kept(dialect.read(TENSOR)) == b"[[1.0,2.0,3.0]]"
    rows = 50_000
    big = np.zeros(rows * 3, "<f4").tobytes()
    dialect, _ = ask(big, tensor("input", [rows, 3], "FP32", len(big)))
    assert dialect.kept(dialect.read(TENSOR)) is None


@pytest.mark.parametrize(
    ("datatype", "shape", "blob", "expected"),
    [
        (Datatype.FP32, (-1, 3), np.arange(6, dtype="<f4").tobytes(), [[0, 1, 2], [3, 4, 5]]),
        (Datatype.FP32, (-1, -1), np.arange(6, dtype="<f4").tobytes(), [[0, 1, 2, 3, 4, 5]]),
        (Datatype.BF16, (-1,), struct.pack("<2H", 0x3F80, 0x4000), [1.0, 2.0]),
        (Datatype.BYTES, (-1,), b"a whole text", ["a whole text"]),
        (Datatype.BYTES, (-1, 1), b"\xff\xd8", [[b"\xff\xd8"]]),
    ],
)
def test_a_body_without_json_is_the_only_input(
    datatype: Datatype, shape: tuple[int, ...], blob: bytes, expected: list[Any]
) -> None:
    codec = Codec(Signature(inputs=(spec("x", datatype, shape),), outputs=(spec("y"),)), Form())
    found = V2Dialect(InferRequest(inputs=[]), memoryview(blob), raw=True).read(codec)
    assert found.arrays["x"].tolist() == expected


@pytest.mark.parametrize(
    ("specs", "blob", "message"),
    [
        ((spec("x", Datatype.FP32, (-1, 3)), spec("y")), b"", "the model takes several: x, y"),
        ((spec("x", Datatype.FP32, (-1, 3)),), b"x" * 13, "comes in 12"),
        ((spec("x", Datatype.FP32, (-1, 3)),), b"", "no rows"),
        ((spec("x", Datatype.FP32, (-1, -1, -1)),), b"x" * 12, "does not follow"),
        ((spec("x", Datatype.BYTES, (-1, 2)),), b"x", "is one text"),
    ],
)
def test_a_body_without_json_that_cannot_be(specs: Any, blob: bytes, message: str) -> None:
    codec = Codec(Signature(inputs=specs, outputs=(spec("z"),)), Form())
    with pytest.raises(BadInput, match=message):
        V2Dialect(InferRequest(inputs=[]), memoryview(blob), raw=True).read(codec)


@settings(deadline=None)
@given(
    blob=st.binary(max_size=64),
    datatype=st.sampled_from(list(Datatype)) | st.text(max_size=4),
    shape=st.lists(st.integers(-2, 2**70) | st.integers(0, 4), max_size=4),
    size=st.integers(-2, 80) | st.none() | st.floats() | st.text(max_size=3),
    model=st.sampled_from(list(Datatype)),
)
def test_whatever_comes_it_is_an_array_or_bad_input(
    blob: bytes, datatype: str, shape: list[int], size: Any, model: Datatype
) -> None:
    sent = Tensor(name="in0", shape=shape, datatype=datatype, parameters={"binary_data_size": size})
    try:
        inputs = V2Dialect(InferRequest(inputs=[sent]), memoryview(blob)).read(codec_of(model))
    except BadInput:
        return
    assert inputs.arrays["in0"].shape == tuple(shape[:1])
    assert len(blob) == size


@settings(deadline=None)
@given(blob=st.binary(max_size=64), count=st.integers(0, 8))
def test_texts_are_read_whole_or_not_at_all(blob: bytes, count: int) -> None:
    try:
        array = from_bytes(memoryview(blob), "BYTES", count, "x")
    except BadInput:
        return
    assert bytes(to_bytes(array, Datatype.BYTES)) == blob
