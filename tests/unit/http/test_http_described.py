"""What V2 tells of a server and its models, and Triton's generate extension."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from http_edge import Http
from plane_samples import NUMBERS_TABLE, endpoint, package

from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.types.endpoint import Batching

BOTH = endpoint(package(1), package(2), selectors={"1": "v1", "2": "v2"})
INFER = {"inputs": [{"name": "input", "shape": [2, 3], "datatype": "FP64", "data": [1, 2, 3, 4, 5, 6]}]}


async def test_the_server_names_its_extensions() -> None:
    told = (await Http().call("GET", "/v2")).json()
    assert {"binary_tensor_data", "statistics", "model_repository", "generate"} <= set(told["extensions"])


async def test_the_configuration_is_the_batching_in_tritons_words() -> None:
    batching = Batching(max_batch_size=8, preferred_batch_size=(4, 8), max_queue_size=9, instances=2)
    http = await Http().serve(endpoint(package(1, signature=NUMBERS_TABLE), batching=batching))
    told = (await http.call("GET", "/v2/models/toy/versions/1/config")).json()
    assert (told["max_batch_size"], told["backend"], told["instance_group"][0]["count"]) == (8, "onnxruntime", 2)
    assert told["input"][0] == {"name": "a", "data_type": "TYPE_FP64", "dims": [1], "reshape": {"shape": []}}
    assert told["output"][1] == {"name": "scores", "data_type": "TYPE_FP32", "dims": [2]}
    assert told["dynamic_batching"]["preferred_batch_size"] == [4, 8]
    assert told["dynamic_batching"]["default_queue_policy"]["max_queue_size"] == 9


async def test_a_model_that_is_not_batched_has_its_whole_shape() -> None:
    http = await Http().serve(endpoint(package(1), batching=Batching(max_batch_size=0)))
    told = (await http.call("GET", "/v2/models/toy/config")).json()
    assert (told["input"][0]["dims"], "dynamic_batching" in told) == ([-1, 3], False)


async def test_statistics_count_rows_runs_and_failures() -> None:
    http = await Http().serve(BOTH)
    for body in (INFER, INFER, {"inputs": []}):
        await http.call("POST", "/v2/models/toy/infer", body)
    for path in ("/v2/models/toy/versions/1/stats", "/v2/models/toy/stats", "/v2/models/stats"):
        told = (await http.call("GET", path)).json()["model_stats"]
        assert [row["version"] for row in told] == (["1"] if "versions" in path else ["1", "2"])
        first = told[0]
        assert (first["name"], first["inference_count"], first["execution_count"]) == ("toy", 4, 2)
        assert (first["inference_stats"]["success"]["count"], first["inference_stats"]["fail"]["count"]) == (2, 1)
        assert [row["batch_size"] for row in first["batch_stats"]] == [2]


@pytest.mark.parametrize("part", ["config", "stats", "ready", "generate", "infer"])
@pytest.mark.parametrize("model", ["odd", "toy/versions/9"])
async def test_what_is_not_there_is_404(part: str, model: str) -> None:
    http = await Http().serve(BOTH)
    get = part in ("config", "stats", "ready")
    body = b"" if get else {"input": [1, 2, 3]} if part == "generate" else INFER
    answer = await http.call("GET" if get else "POST", f"/v2/models/{model}/{part}", body)
    assert (answer.status, set(answer.json())) == (404, {"error"})


@pytest.mark.parametrize(
    ("value", "label", "scores"),
    [([1, 2, 3], 0, [0.0, 0.0]), ([[1, 2, 3]], 0, [0.0, 0.0]), ([[1, 2, 3]] * 2, [0, 0], [[0.0, 0.0]] * 2)],
)
async def test_generate_takes_and_gives_values_by_name(value: Any, label: Any, scores: Any) -> None:
    http = await Http().serve(BOTH)
    body = {"id": "g", "input": value, "stream": False, "parameters": {"priority": 1, "mine": "x"}}
    answer = await http.call("POST", "/v2/models/toy/versions/2/generate", body)
    assert answer.json() == {
        "id": "g",
        "model_name": "toy",
        "model_version": "2",
        "label": label,
        "scores": scores,
    }


async def test_generate_takes_single_values_for_columns() -> None:
    http = await Http().serve(endpoint(package(1, signature=NUMBERS_TABLE)))
    answer = await http.call("POST", "/v2/models/toy/generate", {"a": 1, "b": 2, "c": 3})
    assert answer.json()["label"] == 0
    (call,) = http.journal.calls()
    assert call.input == {"a": 1, "b": 2, "c": 3}


async def test_a_stream_is_one_event() -> None:
    http = await Http().serve(BOTH)
    answer = await http.call("POST", "/v2/models/toy/generate_stream", {"input": [1, 2, 3]})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body.startswith(b"data: ")
    assert answer.body.endswith(b"\n\n")
    assert json.loads(answer.body.removeprefix(b"data: "))["label"] == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[1]", "Expected 'object'"),
        (b"", "the body is empty"),
        ({"other": 1}, "input: input 'input' is missing"),
        ({"input": [1, 2, 3], "odd": [1]}, "odd: there is no input 'odd'; there are: input"),
        ({"input": [1, 2]}, "input"),
        (b'{"input": [1, 2, 3], "input": [4, 5, 6]}', "input: it comes twice"),
        ({"input": [1, 2, 3], "parameters": [1]}, "parameters: it is not an object of single values"),
        ({"input": [1, 2, 3], "parameters": {"timeout": -1}}, "parameters.timeout: timeout is -1"),
    ],
)
@pytest.mark.parametrize("path", ["generate", "generate_stream"])
async def test_what_a_caller_did_wrong_has_its_status_also_in_a_stream(path: str, body: Any, message: str) -> None:
    http = await Http().serve(BOTH)
    answer = await http.call("POST", f"/v2/models/toy/{path}", body)
    assert (answer.status, message in answer.json()["error"]) == (400, True)


async def test_what_the_model_did_wrong_is_an_event_in_a_stream() -> None:
    def broken(inputs: Inputs) -> Outputs:
        return [np.zeros(inputs.rows, dtype=np.int64)]

    http = await Http(broken).serve(BOTH)
    assert (await http.call("POST", "/v2/models/toy/generate", {"input": [1, 2, 3]})).status == 500
    answer = await http.call("POST", "/v2/models/toy/generate_stream", {"input": [1, 2, 3]})
    assert answer.status == 200
    assert "gave 1 outputs" in json.loads(answer.body.removeprefix(b"data: "))["error"]
