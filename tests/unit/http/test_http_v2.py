"""The Open Inference Protocol over HTTP: JSON and binary tensors, metadata, health, errors."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest
from http_edge import Answer, Http
from hypothesis import given, settings
from hypothesis import strategies as st
from plane_samples import endpoint, package, spec

from headrace.traffic.keys import key_hash
from headrace.types.endpoint import Limits
from headrace.types.model import Datatype, Signature

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
    assert server["name"] == "headrace"
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


ROW = np.array([[1, 2, 3]], dtype="<f8").tobytes()


def binary(**more: Any) -> tuple[bytes, dict[str, str]]:
    parameters = {"binary_data_size": len(ROW)}
    request = {"inputs": [{"name": "input", "shape": [1, 3], "datatype": "FP64", "parameters": parameters}], **more}
    text = json.dumps(request).encode()
    return text + ROW, {"inference-header-content-length": str(len(text)), "content-type": "application/octet-stream"}


def parted(answer: Answer) -> tuple[Any, bytes]:
    length = int(answer.headers["inference-header-content-length"])
    return json.loads(answer.body[:length]), answer.body[length:]


async def test_binary_tensors_both_ways() -> None:
    http = await Http().serve(BOTH)
    body, headers = binary(id="b", parameters={"binary_data_output": True, "priority": 1, "mine": "x"})
    answer = await http.call("POST", "/v2/models/toy/infer", body, headers=headers)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/octet-stream")
    told, tail = parted(answer)
    assert (told["id"], [o["parameters"]["binary_data_size"] for o in told["outputs"]]) == ("b", [8, 8])
    assert tail == bytes(16)
    (call,) = http.journal.calls()
    assert (call.input, call.output) == ([[1, 2, 3]], [0])


async def test_a_large_answer_is_not_written_as_json_for_the_journal() -> None:
    rows = 200_000
    signature = Signature(inputs=(spec("input", Datatype.UINT8, (-1, 1)),), outputs=(spec("label", Datatype.UINT8),))
    http = await Http(lambda inputs: [inputs.arrays["input"][:, 0]]).serve(
        endpoint(package(1, signature=signature), limits=Limits(max_rows=rows))
    )
    headers = {"inference-header-content-length": "0"}
    answer = await http.call("POST", "/v2/models/toy/infer", bytes(rows), headers=headers)
    assert parted(answer)[1] == bytes(rows)
    (call,) = http.journal.calls()
    assert (call.rows, call.input, call.output) == (rows, None, None)


async def test_binary_in_and_json_out() -> None:
    http = await Http().serve(BOTH)
    body, headers = binary(outputs=[{"name": "scores"}])
    answer = await http.call("POST", "/v2/models/toy/infer", body, headers=headers)
    assert "inference-header-content-length" not in answer.headers
    assert answer.json()["outputs"] == [{"name": "scores", "datatype": "FP32", "shape": [1, 2], "data": [0.0, 0.0]}]


async def test_a_body_without_json_is_answered_in_bytes_or_in_json_when_that_is_accepted() -> None:
    http = await Http().serve(BOTH)
    headers = {"inference-header-content-length": "0", "content-type": "application/octet-stream"}
    answer = await http.call("POST", "/v2/models/toy/infer", ROW * 2, headers=headers)
    told, tail = parted(answer)
    assert ([o["shape"] for o in told["outputs"]], len(tail)) == ([[2], [2, 2]], 32)
    asked = await http.call("POST", "/v2/models/toy/infer", ROW, headers=headers | {"accept": "application/json"})
    assert asked.json()["outputs"][0]["data"] == [0]


@pytest.mark.parametrize("length", ["-1", "x", "1000000", "", "1.0", "\u0663"])
async def test_a_length_of_the_json_that_cannot_be(length: str) -> None:
    http = await Http().serve(BOTH)
    body, headers = binary()
    headers["inference-header-content-length"] = length
    answer = await http.call("POST", "/v2/models/toy/infer", body, headers=headers)
    assert (answer.status, "allowed: 0 to" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize(("shift", "message"), [(-1, "truncated"), (1, "trailing characters")])
async def test_a_length_that_is_off_by_one(shift: int, message: str) -> None:
    http = await Http().serve(BOTH)
    body, headers = binary()
    headers["inference-header-content-length"] = str(int(headers["inference-header-content-length"]) + shift)
    answer = await http.call("POST", "/v2/models/toy/infer", body, headers=headers)
    assert (answer.status, message in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("opens", [b"[", b'{"a":'])
@pytest.mark.parametrize(
    "path", ["models/toy/infer", "models/toy/generate", "repository/index", "repository/models/toy/load"]
)
async def test_json_that_is_nested_very_deep(path: str, opens: bytes) -> None:
    http = await Http().serve(BOTH)
    for body in (opens * 100_000, b'{"inputs":' + opens * 100_000, b'{"parameters":' + opens * 100_000):
        answer = await http.call("POST", f"/v2/{path}", body)
        assert (answer.status, set(answer.json())) == (400, {"error"})


@settings(deadline=None, max_examples=60)
@given(body=st.binary(max_size=80), length=st.integers(0, 90), json_first=st.booleans())
async def test_whatever_bytes_come_it_is_the_callers_fault(body: bytes, length: int, json_first: bool) -> None:
    http = await Http().serve(BOTH)
    if json_first:
        body, length = (good := binary())[0][:-24] + body, int(good[1]["inference-header-content-length"])
    headers = {"inference-header-content-length": str(length), "content-type": "application/octet-stream"}
    answer = await http.call("POST", "/v2/models/toy/infer", body, headers=headers)
    assert answer.status in (200, 400)
    assert answer.status == 200 or set(answer.json()) == {"error"}


async def test_keys_are_asked_for() -> None:
    http = await Http().serve(BOTH, keys=(key_hash("secret"),))
    assert (await http.call("POST", "/v2/models/toy/infer", tensor())).status == 401
    good = await http.call("POST", "/v2/models/toy/infer", tensor(), headers={"x-api-key": "secret"})
    assert good.status == 200


@pytest.mark.parametrize(
    ("encoding", "shrink"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", lambda data: data)]
)
async def test_compressed_bodies(encoding: str, shrink: Any) -> None:
    http = await Http().serve(BOTH)
    body, headers = binary()
    given = {**headers, "content-encoding": encoding}
    assert (await http.call("POST", "/v2/models/toy/infer", shrink(body), headers=given)).status == 200
    plain = shrink(json.dumps(tensor()).encode())
    answer = await http.call("POST", "/v2/models/toy/infer", plain, headers={"content-encoding": encoding})
    assert answer.status == 200


@pytest.mark.parametrize(
    ("encoding", "body", "status", "message"),
    [
        ("br", b"x", 415, "content-encoding 'br' is not taken here"),
        ("gzip", b"nonsense", 400, "cannot be read"),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-4], 400, "is cut"),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"more", 400, "goes on after its end"),
        ("gzip", gzip.compress(bytes(5 << 20)), 413, "larger than 1 MiB once it is inflated"),
    ],
)
async def test_compressed_bodies_that_cannot_be(encoding: str, body: bytes, status: int, message: str) -> None:
    http = await Http().serve(BOTH)
    answer = await http.call("POST", "/v2/models/toy/infer", body, headers={"content-encoding": encoding})
    assert (answer.status, message in answer.json()["error"]) == (status, True)
