"""The stock Triton client, used as its own examples use it, over HTTP and gRPC, in threads and in a loop."""

from __future__ import annotations

import queue
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from headrace.types.model import Datatype
from tests.contract.conftest import V2Plane

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tritonclient.grpc as grpcclient
    import tritonclient.grpc.aio as grpcaio
    import tritonclient.http as httpclient
    import tritonclient.http.aio as httpaio
    from tritonclient.utils import InferenceServerException

pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
LEFT, RIGHT = np.arange(16, dtype=np.int32).reshape(1, 16), np.ones((1, 16), dtype=np.int32)
NUMPY = {
    **{f"{sign}INT{bits}": np.dtype(f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    "BOOL": np.dtype(bool),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "BYTES": np.dtype(object),
}


@pytest.fixture(scope="module", params=["http", "grpc"])
def client(request: pytest.FixtureRequest, v2: V2Plane) -> Iterator[Any]:
    if request.param == "http":
        with httpclient.InferenceServerClient(v2.http, concurrency=4) as made:
            made.kit = httpclient
            yield made
    else:
        with grpcclient.InferenceServerClient(v2.grpc) as made:
            made.kit = grpcclient
            yield made


def tensors(
    kit: Any, *, binary: bool = True, left: Any = LEFT, right: Any = RIGHT, datatype: str = "INT32"
) -> list[Any]:
    """INPUT0 and INPUT1; `binary` is a choice over HTTP alone."""
    made = [kit.InferInput(name, list(LEFT.shape), datatype) for name in ("INPUT0", "INPUT1")]
    for tensor, values in zip(made, (left, right), strict=True):
        if kit in (httpclient, httpaio):
            tensor.set_data_from_numpy(values, binary_data=binary)
        else:
            tensor.set_data_from_numpy(values)
    return made


def wanted(kit: Any, *names: str, **more: Any) -> list[Any]:
    return [kit.InferRequestedOutput(name, **more) for name in names]


def check(result: Any) -> None:
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), LEFT + RIGHT)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), LEFT - RIGHT)


def field(message: Any, name: str) -> Any:
    """HTTP gives dictionaries, gRPC messages."""
    return message[name] if isinstance(message, dict) else getattr(message, name)


# --- simple, as simple_http_infer_client.py and simple_grpc_infer_client.py


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("version", ["", "1"])
def test_simple(client: Any, binary: bool, version: str) -> None:
    result = client.infer("simple", tensors(client.kit, binary=binary), model_version=version, request_id="7")
    check(result)
    response = result.get_response()
    assert (field(response, "id"), field(response, "model_version")) == ("7", "1")


def test_outputs_come_as_asked_for(client: Any) -> None:
    result = client.infer("simple", tensors(client.kit), outputs=wanted(client.kit, "OUTPUT1"))
    assert result.as_numpy("OUTPUT0") is None
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), LEFT - RIGHT)
    both = client.infer("simple", tensors(client.kit), outputs=wanted(client.kit, "OUTPUT1", "OUTPUT0"))
    assert [field(o, "name") for o in field(both.get_response(), "outputs")] == ["OUTPUT1", "OUTPUT0"]


def test_json_and_binary_outputs_in_one_answer(v2: V2Plane) -> None:
    with httpclient.InferenceServerClient(v2.http) as client:
        outputs = wanted(httpclient, "OUTPUT0", binary_data=True) + wanted(httpclient, "OUTPUT1", binary_data=False)
        check(client.infer("simple", tensors(httpclient), outputs=outputs))


def test_infer_objects_are_used_again(client: Any) -> None:
    """As reuse_infer_objects_client.py."""
    inputs, outputs = tensors(client.kit), wanted(client.kit, "OUTPUT0", "OUTPUT1")
    for factor in range(1, 4):
        inputs[0].set_data_from_numpy(LEFT * factor)
        result = client.infer("simple", inputs, outputs=outputs)
        np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), LEFT * factor + RIGHT)


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_compressed_bodies(v2: V2Plane, compression: str) -> None:
    with httpclient.InferenceServerClient(v2.http) as client:
        check(
            client.infer(
                "simple",
                tensors(httpclient),
                request_compression_algorithm=compression,
                response_compression_algorithm=compression,
            )
        )
    with grpcclient.InferenceServerClient(v2.grpc) as remote:
        check(remote.infer("simple", tensors(grpcclient), compression_algorithm=compression))


def test_parameters_and_schedule(client: Any) -> None:
    check(client.infer("simple", tensors(client.kit), priority=1, timeout=5_000_000, parameters={"mine": "x", "n": 3}))


@pytest.mark.parametrize("model", ["simple_string", "identity_bytes"])
@pytest.mark.parametrize("binary", [True, False])
def test_text(client: Any, model: str, binary: bool) -> None:
    """As simple_http_string_infer_client.py: numbers as text."""
    left, right = (
        np.array([str(v).encode() for v in values.ravel()], dtype=object).reshape(1, 16) for values in (LEFT, RIGHT)
    )
    inputs = tensors(client.kit, binary=binary, left=left, right=right, datatype="BYTES")
    result = client.infer(model, inputs if model == "simple_string" else inputs[:1])
    expected = (LEFT + RIGHT) if model == "simple_string" else LEFT
    assert [int(value) for value in result.as_numpy("OUTPUT0").ravel()] == expected.ravel().tolist()


@pytest.mark.parametrize("datatype", [kind.value for kind in Datatype])
def test_every_datatype(client: Any, datatype: str) -> None:
    values = np.array([[0, 1, 2, 3]]).astype(NUMPY[datatype])
    if datatype == "BYTES":
        values = np.array([[b"", b"a\0b", "é".encode(), b"a" * 300]], dtype=object)
    tensor = client.kit.InferInput("INPUT0", [1, 4], datatype)
    tensor.set_data_from_numpy(values)
    found = client.infer(f"identity_{datatype.lower()}", [tensor]).as_numpy("OUTPUT0")
    assert found.astype(values.dtype).tolist() == values.tolist()


def test_classification(client: Any) -> None:
    tensor = client.kit.InferInput("INPUT0", [2, 3], "FP32")
    tensor.set_data_from_numpy(np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]], dtype=np.float32))
    result = client.infer("identity_fp32", [tensor], outputs=wanted(client.kit, "OUTPUT0", class_count=2))
    found = [[cell.decode() for cell in row] for row in result.as_numpy("OUTPUT0")]
    assert found == [["0.700000:1", "0.200000:2"], ["0.500000:0", "0.250000:1"]]


# --- several at once


def test_async_infer_over_http(v2: V2Plane) -> None:
    with httpclient.InferenceServerClient(v2.http, concurrency=4) as client:
        pending = [client.async_infer("simple", tensors(httpclient)) for _ in range(8)]
        for request in pending:
            check(request.get_result(timeout=30))


def test_async_infer_over_grpc(v2: V2Plane) -> None:
    done: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with grpcclient.InferenceServerClient(v2.grpc) as client:
        for _ in range(8):
            client.async_infer("simple", tensors(grpcclient), partial(_put, done))
        for _ in range(8):
            result, error = done.get(timeout=30)
            assert error is None
            check(result)


def test_a_stream_answers_in_order_and_goes_on_after_an_error(v2: V2Plane) -> None:
    done: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with grpcclient.InferenceServerClient(v2.grpc) as client:
        client.start_stream(callback=partial(_put, done))
        for number in range(5):
            model = "odd" if number == 2 else "simple"
            client.async_stream_infer(
                model, tensors(grpcclient), request_id=str(number), enable_empty_final_response=True
            )
        answers = [done.get(timeout=30) for _ in range(5)]
        client.stop_stream()
    assert "there is no model 'odd'" in str(answers.pop(2)[1])
    for (result, error), number in zip(answers, "0134", strict=True):
        assert error is None
        response = result.get_response()
        assert (response.id, response.parameters["triton_final_response"].bool_param) == (number, True)
        check(result)


async def test_http_in_a_loop(v2: V2Plane) -> None:
    async with httpaio.InferenceServerClient(v2.http) as client:
        assert await client.is_server_live()
        for binary in (True, False):
            check(await client.infer("simple", tensors(httpaio, binary=binary)))
        assert (await client.get_model_metadata("simple"))["name"] == "simple"


async def test_grpc_in_a_loop(v2: V2Plane) -> None:
    async with grpcaio.InferenceServerClient(v2.grpc) as client:
        assert await client.is_server_ready()
        check(await client.infer("simple", tensors(grpcaio)))

        async def requests() -> Any:
            for number in range(3):
                yield {"model_name": "simple", "inputs": tensors(grpcaio), "request_id": str(number)}

        async for result, error in client.stream_infer(requests()):
            assert error is None
            check(result)


# --- what there is


def test_health_and_metadata(client: Any) -> None:
    """As simple_http_health_metadata.py, which expects a server of the name triton."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("simple")
    assert client.is_model_ready("simple", "1")
    assert field(client.get_server_metadata(), "name") == "triton"
    metadata = client.get_model_metadata("simple")
    assert [field(tensor, "name") for tensor in field(metadata, "inputs")] == ["INPUT0", "INPUT1"]
    config = client.get_model_config("simple")
    config = config if isinstance(config, dict) else config.config
    assert (field(config, "name"), field(config, "max_batch_size")) == ("simple", 64)


def test_statistics(client: Any) -> None:
    def counts() -> tuple[int, int]:
        found = client.get_inference_statistics("simple") if client.kit is httpclient else _statistics(client)
        (row,) = field(found, "model_stats")
        success = field(field(row, "inference_stats"), "success")
        return int(field(row, "inference_count")), int(field(success, "count"))

    before = counts()
    client.infer("simple", tensors(client.kit))
    assert counts() == (before[0] + 1, before[1] + 1)


def test_model_control(client: Any) -> None:
    """As simple_http_model_control.py."""
    name = "identity_int8"
    client.unload_model(name)
    assert not client.is_model_ready(name)
    index = client.get_model_repository_index()
    rows = index if isinstance(index, list) else index.models
    assert {field(row, "name"): (field(row, "state"), field(row, "reason")) for row in rows}[name] == (
        "UNAVAILABLE",
        "unloaded",
    )
    tensor = client.kit.InferInput("INPUT0", [1, 1], "INT8")
    tensor.set_data_from_numpy(np.ones((1, 1), np.int8))
    with pytest.raises(InferenceServerException, match="is unloaded"):
        client.infer(name, [tensor])
    client.load_model(name)
    assert client.is_model_ready(name)
    client.infer(name, [tensor])
    with pytest.raises(InferenceServerException, match="there is no such model"):
        client.load_model("odd")
    with pytest.raises(InferenceServerException, match="would put a file in place"):
        client.load_model(name, config="{}", files={"file:1/model.onnx": b"x"})


# --- what is wrong


def _swap(inputs: list[Any]) -> list[Any]:
    return [inputs[0], inputs[0]]


WRONG: list[tuple[str, str, Callable[[list[Any]], list[Any]], str]] = [
    ("odd", "", list, "there is no model 'odd'"),
    ("simple", "9", list, "no version, stage or alias '9'"),
    ("simple", "", lambda inputs: inputs[:1], "tensor 'INPUT1' is missing"),
    ("simple", "", _swap, "two tensors of inputs have the same name"),
    ("identity_fp32", "", lambda inputs: inputs[:1], "datatype is INT32; the model takes FP32"),
]


@pytest.mark.parametrize(("model", "version", "change", "message"), WRONG)
def test_a_wrong_request_is_told_why(client: Any, model: str, version: str, change: Any, message: str) -> None:
    with pytest.raises(InferenceServerException, match=message):
        client.infer(model, change(tensors(client.kit)), model_version=version)


def test_text_that_a_graph_cannot_hold(client: Any) -> None:
    tensor = client.kit.InferInput("INPUT0", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[b"\xff\xfe"]], dtype=object))
    with pytest.raises(InferenceServerException, match="a text is not UTF-8"):
        client.infer("identity_bytes", [tensor])


def test_an_unknown_output(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="there is no output 'ODD'; there are: OUTPUT0, OUTPUT1"):
        client.infer("simple", tensors(client.kit), outputs=wanted(client.kit, "ODD"))


def _put(done: queue.Queue[tuple[Any, Any]], result: Any, error: Any) -> None:
    done.put((result, error))


def _statistics(client: Any) -> Any:
    return client.get_inference_statistics("simple")
