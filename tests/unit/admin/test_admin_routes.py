"""The admin API's answers and errors."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from admin_stand import Stand, told
from starlette.requests import ClientDisconnect
from starlette.types import Message

from headrace.api.admin.export import AT_ONCE, Streamed
from headrace.flywheel.export import Export
from headrace.flywheel.selection import Selection
from headrace.release.adapters import Written
from headrace.release.services import read_service
from headrace.store import audit, feedbacks
from headrace.types.adapter import Drop
from headrace.types.call import CallStatus
from headrace.types.errors import BadInput, Conflict, ModelRefused, NotFound, PlatformError, Unavailable, UpstreamError
from headrace.types.model import Stage
from tests.control_samples import START, call, corrected, up, write

NDJSON = {"accept": "application/x-ndjson"}


async def test_health(client: httpx.AsyncClient, stand: Stand) -> None:
    answer = await client.get("/health")
    assert answer.json() == {"status": "ready", "version": "0.1.0", "revision": 1}
    stand.database.close()
    (stand.home / "headrace.db").unlink()
    (stand.home / "headrace.db").mkdir()
    assert (await client.get("/health")).status_code == 503, "nothing can be decided without the database"


async def test_endpoints(client: httpx.AsyncClient) -> None:
    assert [e["name"] for e in (await client.get("/api/v1/endpoints")).json()["endpoints"]] == ["digits"]
    assert (await client.get("/api/v1/endpoints/digits")).json()["policy"]["baseline"] == "v1"
    error = told(await client.get("/api/v1/endpoints/nix"))
    assert isinstance(error, NotFound)
    assert "there are: digits" in error.message


SCORER = {
    "name": "churn",
    "url": "http://h/score",
    "request": "$rows",
    "response": {"label": "[]"},
    "inputs": [{"name": "a", "datatype": "FP64"}],
    "outputs": [{"name": "label", "datatype": "INT64"}],
}


async def test_deploy_of_a_service(client: httpx.AsyncClient, stand: Stand) -> None:
    answer = await client.post("/api/v1/endpoints/digits/deploy", json={"upstream": SCORER})
    assert answer.status_code == 200
    _, _, source, _ = stand.releases.asked[0]
    assert source == read_service(SCORER)


@pytest.mark.parametrize(
    "body",
    [{}, {"model": "models:/a/1", "upstream": SCORER}, {"upstream": {"url": "x"}}, {"upstream": SCORER | {"x": 1}}],
)
async def test_a_deploy_of_nothing_or_of_two_things_is_refused(
    client: httpx.AsyncClient, stand: Stand, body: dict[str, Any]
) -> None:
    answer = await client.post("/api/v1/endpoints/digits/deploy", json=body)
    assert answer.status_code == 400
    assert stand.releases.asked == []


async def test_deploy(client: httpx.AsyncClient, stand: Stand) -> None:
    answer = await client.post(
        "/api/v1/endpoints/digits/deploy", json={"model": "models:/digits/2"}, headers={"x-headrace-actor": "ann"}
    )
    assert answer.json()["name"] == "digits"
    assert stand.releases.asked == [("deploy", "digits", "models:/digits/2", "ann")]


async def test_configure(client: httpx.AsyncClient, stand: Stand) -> None:
    changes = {"batching": {"max_batch_size": 8}, "capture": "none"}
    answer = await client.patch("/api/v1/endpoints/digits", json=changes, headers={"x-headrace-actor": "ann"})
    assert answer.json()["name"] == "digits"
    assert stand.releases.asked == [("configure", "digits", changes, "ann")]


async def test_deploy_with_progress(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/endpoints/digits/deploy", json={"model": "models:/digits/2"}, headers=NDJSON)
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[:2] == [{"progress": "resolve"}, {"progress": "convert"}]
    assert lines[2]["result"]["name"] == "digits"


async def test_a_deploy_that_fails_on_the_way(client: httpx.AsyncClient, stand: Stand) -> None:
    stand.releases.error = ModelRefused("the checksum is another", field="model", hint="register it anew")
    answer = await client.post("/api/v1/endpoints/digits/deploy", json={"model": "m"}, headers=NDJSON)
    last = json.loads(answer.text.splitlines()[-1])["error"]
    assert (last["status"], last["detail"], last["field"]) == (422, "the checksum is another", "model")
    plain = await client.post("/api/v1/endpoints/digits/deploy", json={"model": "m"})
    assert plain.status_code == 422
    assert isinstance(told(plain), ModelRefused)
    assert told(plain).hint == "register it anew"


async def test_a_deploy_that_fails_at_once_is_an_error_answer(client: httpx.AsyncClient, stand: Stand) -> None:
    stand.releases.tells, stand.releases.error = (), Conflict("a release is running")
    answer = await client.post("/api/v1/endpoints/digits/deploy", json={"model": "m"}, headers=NDJSON)
    assert answer.status_code == 409
    assert isinstance(told(answer), Conflict)


@pytest.mark.parametrize("headers", [{}, NDJSON])
async def test_a_bug_is_told_without_its_secrets(
    client: httpx.AsyncClient, stand: Stand, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    stand.releases.error = RuntimeError("password=hunter2")
    answer = await client.post("/api/v1/endpoints/digits/deploy", json={"model": "m"}, headers=headers)
    assert "hunter2" not in answer.text
    assert "RuntimeError" in answer.text
    assert "hunter2" in caplog.text, "the log knows"
    if not headers:
        assert isinstance(told(answer), PlatformError)
        assert answer.status_code == 500


async def test_an_adapter_comes_with_a_deploy_or_a_release(client: httpx.AsyncClient, stand: Stand) -> None:
    adapter = {"inputs": [{"drop": "session"}]}
    await client.post("/api/v1/endpoints/digits/deploy", json={"model": "models:/digits/2", "adapter": adapter})
    await client.post("/api/v1/endpoints/digits/releases", json={"candidate": "models:/digits/2", "adapter": adapter})
    await client.post("/api/v1/endpoints/digits/deploy", json={"model": "models:/digits/2"})
    written = Written(inputs=(Drop(tensor="session"),))
    assert stand.releases.adapters == [written, {"digits": written}, None]
    answer = await client.post("/api/v1/endpoints/digits/deploy", json={"model": "m", "adapter": {"inputs": ["x"]}})
    assert answer.status_code == 400
    assert answer.json()["field"] == "adapter.inputs[0]"


async def test_start_a_release(client: httpx.AsyncClient, stand: Stand) -> None:
    body = {"candidate": "models:/digits/2", "plan": {"shares": [5, 50, 100], "min_seconds": 3}}
    await client.post("/api/v1/endpoints/digits/releases", json=body)
    ((_, name, uri, plan, actor),) = stand.releases.asked
    assert (name, uri, actor) == ("digits", "models:/digits/2", "operator")
    assert [s.share for s in plan.steps] == [500, 5000]
    assert plan.steps[0].min_seconds == 3


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("endpoints/digits/deploy", {}, "model"),
        ("endpoints/digits/deploy", {"model": 3}, "model"),
        ("endpoints/digits/deploy", [], "body"),
        ("endpoints/digits/releases", {"candidate": "m", "plan": {"shares": []}}, "shares"),
        ("endpoints/digits/releases", {"candidate": "m", "plan": {"speed": 3}}, "speed"),
        ("releases/rel_1/pause", {"reason": ["x"]}, "reason"),
    ],
)
async def test_bad_bodies_name_the_field(
    client: httpx.AsyncClient, stand: Stand, path: str, body: object, field: str
) -> None:
    answer = await client.post(f"/api/v1/{path}", json=body)
    assert answer.status_code == 400
    error = told(answer)
    assert isinstance(error, BadInput)
    assert error.field == field
    assert not stand.releases.asked


async def test_broken_json(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/v1/endpoints/digits/deploy", content=b'{"model": ', headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert told(answer).message == "the body is not JSON"


@pytest.mark.parametrize("action", ["pause", "resume", "promote", "abort"])
async def test_decide(client: httpx.AsyncClient, stand: Stand, action: str) -> None:
    answer = await client.post(f"/api/v1/releases/rel_1/{action}", json={"reason": "lunch"})
    assert answer.status_code == 200
    assert stand.releases.asked[0][1:] == ("rel_1", "operator", "lunch")


async def test_decide_something_else(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/releases/rel_1/explode", json={})
    assert answer.status_code == 400
    assert told(answer).field == "action"


async def test_releases_that_are_not(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/releases")).json() == {"releases": []}
    for path in ("rel_1", "rel_1/intervals"):
        assert isinstance(told(await client.get(f"/api/v1/releases/{path}")), NotFound)


async def test_traces_page_by_page(client: httpx.AsyncClient, stand: Stand) -> None:
    write(stand.journal, [call(n, status=CallStatus.FAILED if n == 3 else CallStatus.OK) for n in range(5)])
    seen, after, pages = [], None, 0
    while True:
        answer = (await client.get("/api/v1/traces", params={"limit": 2} | ({"after": after} if after else {}))).json()
        seen += [c["trace_id"] for c in answer["traces"]]
        after, pages = answer["next"], pages + 1
        if after is None:
            break
    assert seen == [call(n).trace_id for n in (4, 3, 2, 1, 0)]
    assert pages == 3
    failed = (await client.get("/api/v1/traces", params={"status": "failed", "endpoint": "digits"})).json()["traces"]
    assert [c["trace_id"] for c in failed] == [call(3).trace_id]
    assert len((await client.get("/api/v1/traces", params={"unit": call(0).unit})).json()["traces"]) == 1


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({"status": "bad"}, "status"), ({"limit": 0}, "limit"), ({"after": "x"}, "after"), ({"since": "noon"}, "since")],
)
async def test_bad_trace_questions(client: httpx.AsyncClient, parameters: dict[str, object], field: str) -> None:
    answer = await client.get("/api/v1/traces", params=parameters)
    assert answer.status_code == 400
    assert told(answer).field == field


async def test_one_trace_with_what_was_said(client: httpx.AsyncClient, stand: Stand) -> None:
    one = call(1)
    write(stand.journal, [one])
    with stand.database.write() as conn:
        feedbacks.put(conn, [up(one)])
    found = (await client.get(f"/api/v1/traces/{one.trace_id}")).json()
    assert found["call"]["output"] == [1]
    assert [(f["name"], f["value"]) for f in found["feedback"]] == [("user_rating", True)]
    assert found["mlflow"].startswith("/mlflow/#/")
    assert isinstance(told(await client.get("/api/v1/traces/tr-0")), NotFound)


async def test_live(client: httpx.AsyncClient, stand: Stand) -> None:
    stand.services.live.feed(call(n, time=START + 995, latency_ms=3.0) for n in range(10))
    found = (await client.get("/api/v1/live", params={"endpoint": "digits"})).json()
    assert found["totals"]["calls"] == 10
    assert found["totals"]["variants"]["v1"]["p50_ms"] == pytest.approx(3, rel=0.05)
    assert sum(found["series"]["v1"]["calls"]) == 10
    assert isinstance(told(await client.get("/api/v1/live", params={"endpoint": "nix"})), NotFound)
    assert told(await client.get("/api/v1/live")).field == "endpoint"


async def test_audit(client: httpx.AsyncClient, stand: Stand) -> None:
    with stand.database.write() as conn:
        audit.append(conn, actor="ann", action="endpoint.deploy", subject="endpoint:digits", detail="v1", now=1.0)
    (entry,) = (await client.get("/api/v1/audit", params={"subject": "endpoint:digits"})).json()["entries"]
    assert entry["actor"] == "ann"


async def test_models(client: httpx.AsyncClient) -> None:
    assert (await client.get("/models")).json()["models"] == [
        {"name": "digits", "versions": [1, 2], "production": 2, "endpoints": ["digits"]}
    ]
    found = (await client.get("/models/digits/versions")).json()["versions"]
    assert [(v["version"], v["stage"]) for v in found] == [(1, "Archived"), (2, "Production")]
    assert isinstance(told(await client.get("/models/nix/versions")), NotFound)


@pytest.mark.parametrize("version", [2, "2"])
async def test_move_a_stage(client: httpx.AsyncClient, stand: Stand, version: object) -> None:
    answer = await client.post("/models/digits/stage", json={"version": version, "stage": "production"})
    assert answer.json()["stage"] == "Production"
    assert answer.headers["x-headrace-revision"] == "1"
    assert stand.releases.asked == [("stage", "digits", 2, Stage.PRODUCTION, "operator")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"version": 2, "stage": "Live"}, "stage"),
        ({"version": 0, "stage": "Staging"}, "version"),
        ({"version": -1, "stage": "Staging"}, "version"),
        ({"version": "9" * 5000, "stage": "Staging"}, "version"),
        ({"version": "²", "stage": "Staging"}, "version"),
        ({"version": 2}, "stage"),
    ],
)
async def test_bad_moves(client: httpx.AsyncClient, stand: Stand, body: object, field: str) -> None:
    answer = await client.post("/models/digits/stage", json=body)
    assert answer.status_code == 400
    assert told(answer).field == field
    assert not stand.releases.asked


@pytest.mark.parametrize("value", [True, 2.5, None, [2]])
async def test_versions_that_are_no_numbers(client: httpx.AsyncClient, stand: Stand, value: object) -> None:
    answer = await client.post("/models/digits/stage", json={"version": value, "stage": "Staging"})
    assert answer.status_code == 400
    assert (told(answer).field or "").startswith("version")
    assert not stand.releases.asked


@pytest.mark.parametrize(("verb", "more"), [("load", ({"max_batch_size": 4},)), ("unload", ())])
async def test_load_and_unload(client: httpx.AsyncClient, stand: Stand, verb: str, more: tuple[object, ...]) -> None:
    body = {"config": more[0]} if more else {}
    answer = await client.post(f"/api/v1/repository/digits/{verb}", json=body)
    assert (answer.status_code, answer.headers["x-headrace-revision"]) == (200, "1")
    assert stand.releases.asked == [(verb, "digits", *more, "operator")]


async def test_an_error_that_passes_the_data_plane_has_its_form_too(client: httpx.AsyncClient, stand: Stand) -> None:
    stand.releases.error = UpstreamError("MLflow does not answer", retry_after=5.0)
    answer = await client.post("/models/digits/stage", json={"version": 2, "stage": "Staging"})
    assert answer.status_code == 502
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["error"] == {"type": "upstream_error", "message": "MLflow does not answer"}
    assert answer.json()["type"] == "urn:headrace:error:upstream_error"


async def test_export(client: httpx.AsyncClient, stand: Stand) -> None:
    one, two = call(1), call(2)
    write(stand.journal, [one, two])
    with stand.database.write() as conn:
        feedbacks.put(conn, [corrected(one, 7)])
    answer = await client.get("/export", params={"model": "digits", "format": "csv", "rating": "any"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="digits.csv"'
    assert answer.headers["x-headrace-dataset"].startswith("ds_")
    assert (answer.headers["x-headrace-rows"], answer.headers["x-headrace-corrected"]) == ("1", "1")
    assert len(answer.text.splitlines()) == 2
    assert not list((stand.home / "work").iterdir()), "nothing is left"
    for wanted in ("jsonl", "parquet"):
        assert (await client.get("/export", params={"model": "digits", "format": wanted})).status_code == 200


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({}, "model"), ({"model": "digits", "rating": "meh"}, "rating"), ({"model": "digits", "limit": "no"}, "limit")],
)
async def test_bad_exports(client: httpx.AsyncClient, parameters: dict[str, str], field: str) -> None:
    answer = await client.get("/export", params=parameters)
    assert answer.status_code == 400
    assert told(answer).field == field


async def test_a_caller_who_hangs_up_ends_what_makes_the_blocks() -> None:
    ended = []

    def blocks() -> Generator[bytes]:
        try:
            while True:
                yield b"block"
        finally:
            ended.append(True)

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("nothing comes")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise OSError("gone")

    made = blocks()
    with pytest.raises(ClientDisconnect):
        await Streamed(made)({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    assert ended, "although somebody still has it"


async def test_exports_are_bounded(client: httpx.AsyncClient, stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reads the whole journal: a third one at once is sent away, and told when to come again."""
    both, go_on = threading.Barrier(AT_ONCE + 1, timeout=30), threading.Event()
    make = stand.services.exporter.export

    def slow(selection: Selection, folder: Path) -> Export:
        both.wait()
        go_on.wait(30)
        return make(selection, folder)

    monkeypatch.setattr(stand.services.exporter, "export", slow)
    wanted = [asyncio.create_task(client.get("/export", params={"model": "digits"})) for _ in range(AT_ONCE)]
    await asyncio.to_thread(both.wait)
    refused = await client.get("/export", params={"model": "digits"})
    go_on.set()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert [answer.status_code for answer in await asyncio.gather(*wanted)] == [200] * AT_ONCE
    monkeypatch.undo()
    assert (await client.get("/export", params={"model": "digits"})).status_code == 200, "there is room again"


async def test_work_goes_on_when_its_caller_leaves(stand: Stand) -> None:
    told, done = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def deploy(name: str, uri: str, *, adapter: Any, actor: str, reason: str, progress: Any) -> None:
        progress("half-way")
        asyncio.run_coroutine_threadsafe(told.wait(), loop).result(30)
        progress("done")
        done.set()

    stand.releases.deploy = deploy  # type: ignore[method-assign, assignment]
    body = iter([{"type": "http.request", "body": b'{"model": "m"}', "more_body": False}])

    async def receive() -> Any:
        if (message := next(body, None)) is None:
            await told.wait()
            return {"type": "http.disconnect"}
        return message

    async def send(message: Any) -> None:
        if b"half-way" in message.get("body", b""):
            told.set()

    headers = {"host": "127.0.0.1:8001", "content-type": "application/json", **NDJSON}
    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/endpoints/digits/deploy", "query_string": b"",
        "root_path": "", "raw_path": b"", "http_version": "1.1", "scheme": "http",
        "server": ("127.0.0.1", 8001), "client": None,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    await stand.app()(scope, receive, send)
    assert await asyncio.to_thread(done.wait, 30)


async def test_an_export_of_an_unknown_model(client: httpx.AsyncClient, stand: Stand) -> None:
    assert isinstance(told(await client.get("/export", params={"model": "nix"})), NotFound)
    assert not list((stand.home / "work").iterdir())


async def test_paths_and_methods_that_are_not(client: httpx.AsyncClient) -> None:
    assert isinstance(told(await client.get("/api/v1/nix")), NotFound)
    answer = await client.delete("/api/v1/endpoints", headers={"content-type": "application/json"})
    assert answer.status_code == 405
    assert told(answer).message.startswith("DELETE /api/v1/endpoints")


async def test_documentation_needs_no_network(client: httpx.AsyncClient) -> None:
    page = await client.get("/api/docs")
    assert page.status_code == 200
    assert "//cdn" not in page.text
    assert "https://" not in page.text
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/api/static/{asset}" in page.text
        assert (await client.get(f"/api/static/{asset}")).status_code == 200
    described = (await client.get("/api/openapi.json")).json()["paths"]
    assert {"/export", "/models/{name}/stage", "/api/v1/endpoints/{name}/deploy", "/health"} <= set(described)
    assert not any(path.startswith("/mlflow") for path in described)


async def test_mlflow_that_is_down(client: httpx.AsyncClient) -> None:
    answer = await client.get("/mlflow/version")
    assert answer.status_code == 503
    assert isinstance(told(answer), Unavailable)
    assert answer.headers["retry-after"] == "2"
