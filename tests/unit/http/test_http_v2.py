"""The Open Inference Protocol in JSON."""

from __future__ import annotations

from typing import Any

import pytest
from http_edge import Http
from plane_samples import endpoint, package

from headrace.traffic.admit import key_hash
from headrace.types.endpoint import Limits

BOTH = endpoint(package(1), package(2), selectors={"1": "v1", "2": "v2", "Staging": "v2"})


def tensor(**more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "input", "shape": [1, 3], "datatype": "FP64", "data": [1, 2, 3], **more}]}


@pytest.mark.parametrize(("path", "version"), [("", "1"), ("/versions/2", "2"), ("/versions/1", "1")])
async def test_infer_with_and_without_a_version(path: str, version: str) -> None:
    http = await Http().serve(BOTH)
    answer = await http.call("POST", f"/v2/models/toy{path}/infer", {"id": "a-1", **tensor()})
    assert answer.status == 200
    assert answer.json() == {
        "model_name": "toy",
        "model_version": version,
        "id": "a-1",
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [1], "data": [0]},
            {"name": "scores", "datatype": "FP32", "shape": [1, 2], "data": [0.0, 0.0]},
        ],
    }
    (call,) = http.journal.calls()
    assert (call.protocol, call.counted, call.input, call.output) == ("v2", not path, [[1, 2, 3]], [0])
    assert answer.headers["x-headrace-trace"] == call.trace_id


async def test_metadata() -> None:
    http = await Http().serve(BOTH)
    expected = {
        "name": "toy",
        "versions": ["1", "2"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 3]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, 2]},
        ],
    }
    for path in ("/v2/models/toy", "/v2/models/toy/", "/v2/models/toy/versions/2"):
        assert (await http.call("GET", path)).json() == expected
    server = (await http.call("GET", "/v2")).json()
    assert (server["name"], server["extensions"]) == ("headrace", [])
    assert (await http.call("GET", "/v2/")).json() == server


async def test_health() -> None:
    http = Http()
    assert (await http.call("GET", "/v2/health/live")).json() == {"live": True}
    assert (await http.call("GET", "/v2/health/ready")).status == 503
    await http.serve(BOTH, endpoint(name="empty"))
    assert (await http.call("GET", "/v2/health/ready")).json() == {"ready": True}
    for path in ("/v2/models/toy/ready", "/v2/models/toy/versions/2/ready"):
        assert (await http.call("GET", path)).json() == {"name": "toy", "ready": True}
    assert (await http.call("GET", "/v2/models/empty/ready")).status == 503
    http.status.draining = True
    assert (await http.call("GET", "/v2/health/ready")).status == 503
    assert (await http.call("GET", "/v2/models/toy/ready")).status == 503


WRONG = [
    ("/v2/models/toy/infer", b"{", 400, "truncated"),
    ("/v2/models/toy/infer", {"id": "x"}, 400, "inputs: Object missing required field 'inputs'"),
    ("/v2/models/toy/infer", tensor(data=[1, 2]), 400, "inputs.input.data: data has 2 values; shape [1, 3] has 3"),
    ("/v2/models/toy/infer", tensor(datatype="FP8"), 400, "inputs.input.datatype: datatype 'FP8' is unknown"),
    ("/v2/models/toy/infer", tensor(data=[1, None, 3]), 400, "inputs.input.data[1]:"),
    ("/v2/models/toy/infer", tensor(name="odd"), 400, "'input' is missing"),
    ("/v2/models/other/infer", tensor(), 404, "there is no model 'other'; there are: full, toy"),
    ("/v2/models/toy/versions/9/infer", tensor(), 404, "'9' is loaded; there are: 1, 2, Production, Staging"),
    ("/v2/models/full/infer", tensor(), 503, "already has 0 calls inside"),
]


@pytest.mark.parametrize(("path", "body", "status", "message"), WRONG)
async def test_errors_are_one_string(path: str, body: Any, status: int, message: str) -> None:
    http = await Http().serve(BOTH, endpoint(package(1), name="full", limits=Limits(max_concurrency=0)))
    answer = await http.call("POST", path, body)
    assert answer.status == status
    assert set(answer.json()) == {"error"}
    assert message in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v2/models/other", "/v2/models/toy/versions/9", "/v2/models/other/ready", "/v2/x"])
async def test_404_in_the_form_of_v2(path: str) -> None:
    http = await Http().serve(BOTH)
    answer = await http.call("GET", path)
    assert (answer.status, isinstance(answer.json()["error"], str)) == (404, True)


async def test_binary_tensors_are_refused_clearly() -> None:
    http = await Http().serve(BOTH)
    answer = await http.call(
        "POST",
        "/v2/models/toy/infer",
        b"\x00\x01",
        headers={"inference-header-content-length": "2", "content-type": "application/octet-stream"},
    )
    assert answer.status == 400
    assert "binary tensors are not taken here yet" in answer.json()["error"]


async def test_keys_are_asked_for() -> None:
    http = await Http().serve(BOTH, keys=(key_hash("secret"),))
    assert (await http.call("POST", "/v2/models/toy/infer", tensor())).status == 401
    good = await http.call("POST", "/v2/models/toy/infer", tensor(), headers={"x-api-key": "secret"})
    assert good.status == 200
