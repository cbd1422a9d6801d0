"""V2's model repository on the data plane: the index is its own, load and unload are asked of the control plane."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from http_edge import Answer, Http
from plane_samples import endpoint, package, plan

from headrace.serving.lifecycle import State
from headrace.traffic.keys import key_hash

ONE, PARKED = endpoint(package(1)), endpoint(package(1), parked=True)


class Control(BaseHTTPRequestHandler):
    status, asked, problem = 200, [], "there is no model 'toy'"  # type: ignore[var-annotated]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.asked.append((self.path, self.headers["content-type"], json.loads(body)))
        told = b"{}" if self.status == 200 else json.dumps({"detail": self.problem}).encode()
        self.send_response(self.status)
        if self.status == 200:
            self.send_header("x-headrace-revision", "2")
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def control() -> Iterator[str]:
    Control.asked, Control.status = [], 200
    server = ThreadingHTTPServer(("127.0.0.1", 0), Control)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def change(http: Http, verb: str, body: Any = b"", name: str = "toy") -> Answer:
    return await http.call("POST", f"/v2/repository/models/{name}/{verb}", body, headers={"content-type": ""})


@pytest.mark.parametrize("body", [b"", {}, {"ready": False}])
async def test_the_index_has_every_version(body: Any) -> None:
    http = await Http().serve(endpoint(package(1), package(2)), endpoint(package(3), name="off", parked=True))
    answer = await http.call("POST", "/v2/repository/index", body, headers={"content-type": ""})
    assert answer.json() == [
        {"name": "toy", "version": "1", "state": "READY", "reason": ""},
        {"name": "toy", "version": "2", "state": "READY", "reason": ""},
        {"name": "off", "version": "3", "state": "UNAVAILABLE", "reason": "unloaded"},
    ]
    ready = await http.call("POST", "/v2/repository/index", {"ready": True})
    assert [row["name"] for row in ready.json()] == ["toy", "toy"]


async def test_unload_is_answered_when_it_is_in_force_and_gives_the_memory_back(control: str) -> None:
    http = await Http(control=control).serve(ONE)
    unloading = asyncio.create_task(change(http, "unload", {"parameters": {"unload_dependents": False}}))
    while not Control.asked:
        await asyncio.sleep(0.005)
    assert not unloading.done()
    await http.apply(plan(2, PARKED))
    assert (await unloading).status == 200
    assert Control.asked == [("/api/v1/repository/toy/unload", "application/json", {})]
    refused = await http.predict([[1, 2, 3]])
    assert (refused.status, "'toy' is unloaded" in refused.json()["error"]["message"]) == (503, True)
    assert (await http.call("GET", "/v2/models/toy/ready")).status == 503
    (loaded,) = http.fleet.loaded()
    assert loaded.state is State.RETAINED
    await http.fleet.unload()
    assert http.fleet.loaded() == ()
    assert http.runtime.models[1].closed


async def test_load_brings_it_back(control: str) -> None:
    http = await Http(control=control).serve(PARKED)
    assert http.runtime.loads == []
    text = json.dumps({"max_batch_size": 8})
    loading = asyncio.create_task(change(http, "load", {"parameters": {"config": text}}))
    await asyncio.sleep(0)
    await http.apply(plan(2, ONE))
    assert (await loading).status == 200
    assert Control.asked == [("/api/v1/repository/toy/load", "application/json", {"config": {"max_batch_size": 8}})]
    assert (await http.predict([[1, 2, 3]])).status == 200


@pytest.mark.parametrize(
    ("verb", "name", "body", "message"),
    [
        ("load", "toy", {"parameters": {"file:1/model.onnx": "AAAA"}}, "would put a file in place of the model's"),
        ("load", "toy", {"parameters": {"file:../../x": "AAAA"}}, "would put a file"),
        ("load", "toy", {"parameters": {"config": "{"}}, "not a model configuration"),
        ("load", "toy", {"parameters": {"config": 1}}, "not a model configuration"),
        ("load", "toy", {"parameters": {"odd": 1}}, "there is no parameter 'odd'; allowed: config"),
        ("unload", "toy", {"parameters": {"unload_dependents": 1}}, "allowed: unload_dependents, true or false"),
        ("unload", "toy", b"{", "truncated"),
        ("load", "..", b"", "model is '..'"),
        ("unload", "a b", b"", "model is 'a b'"),
        ("load", " ", b"", "model is ' '"),
        ("load", "x" * 101, b"", "1 to 100 letters"),
    ],
)
async def test_what_cannot_be_asked_never_leaves_the_data_plane(
    control: str, verb: str, name: str, body: Any, message: str
) -> None:
    answer = await change(Http(control=control), verb, body, name)
    assert (answer.status, message in answer.json()["error"]) == (400, True)
    assert Control.asked == []


@pytest.mark.parametrize(("given", "status"), [(404, 404), (409, 409), (422, 400), (401, 401), (500, 502)])
async def test_a_refusal_of_the_control_plane_is_told_in_v2s_form(control: str, given: int, status: int) -> None:
    Control.status = given
    answer = await change(Http(control=control), "load")
    assert (answer.status, set(answer.json())) == (status, {"error"})
    assert "load of 'toy' failed: there is no model 'toy'" in answer.json()["error"]


async def test_without_a_control_plane_it_says_so() -> None:
    answer = await change(Http(), "load")
    assert (answer.status, "control plane does not answer" in answer.json()["error"]) == (503, True)


async def test_keys_are_asked_for() -> None:
    http = await Http().serve(keys=(key_hash("secret"),))
    assert (await change(http, "load")).status == 401
    assert (await http.call("POST", "/v2/repository/index")).status == 401
