"""The way into MLflow, against a server that shows what reached it. A real MLflow: tests/integration."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from admin_stand import HERE, Stand, told
from aiohttp import web
from fastapi import FastAPI

from headrace.api.admin.mlflow import CLOSED, REGISTRY, _Follower
from headrace.types.errors import Forbidden, UpstreamError


@dataclass
class Upstream:
    """Echoes what it gets; some paths do something else."""

    asked: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    status: int = 200
    url: str = ""
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.bodies.append(await request.read())
        match request.path:
            case "/mlflow/moved":
                return web.Response(status=302, headers={"location": f"{self.url}/there?a=1"})
            case "/mlflow/elsewhere":
                return web.Response(status=302, headers={"location": "https://example.com/x"})
            case "/mlflow/big":
                response = web.StreamResponse(headers={"content-length": str(40 << 20)})
                await response.prepare(request)
                for _ in range(40):
                    await response.write(b"x" * (1 << 20))
                return response
            case "/mlflow/zip":
                return web.Response(body=gzip.compress(b"hello"), headers={"content-encoding": "gzip"})
            case "/mlflow/endless":
                response = web.StreamResponse()
                await response.prepare(request)
                try:
                    while True:
                        await response.write(b"x" * (1 << 16))
                except ConnectionError:
                    self.hung_up.set()
                    raise
            case "/mlflow/gone":
                assert request.transport is not None
                request.transport.close()
        headers = {"x-kept": "yes", "set-cookie": "session=1", "x-hop": "no", "connection": "x-hop"}
        return web.Response(status=self.status, body=self.bodies[-1] or b"ok", headers=headers)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mlflow"
    yield made
    await runner.cleanup()


@pytest.fixture
async def through(stand: Stand, upstream: Upstream) -> AsyncIterator[httpx.AsyncClient]:
    async with stand.client(mlflow=upstream.url) as client:
        yield client


async def test_passes_on_what_is_meant_for_mlflow(through: httpx.AsyncClient, upstream: Upstream) -> None:
    headers = {
        "authorization": "Bearer secret", "cookie": "a=b", "origin": HERE, "x-mine": "1", "connection": "close, x-hop",
        "x-hop": "1", "user-agent": "test", "x-mlflow-experiment-id": "7",
    }  # fmt: skip
    answer = await through.post("/mlflow/v1/traces?a=%2F&b=c+d", content=b"\x00\x01", headers=headers)
    assert answer.content == b"\x00\x01"
    (got,) = upstream.asked
    assert got.path_qs == "/mlflow/v1/traces?a=%2F&b=c+d"
    assert {"authorization", "cookie", "origin", "x-hop"} & {n.lower() for n in got.headers} == set()
    assert got.headers["x-mine"] == "1"
    assert got.headers["x-mlflow-experiment-id"] == "7"
    assert got.headers["host"] == upstream.url.split("/")[2]
    assert answer.headers["x-kept"] == "yes"
    assert {"set-cookie", "x-hop", "connection", "transfer-encoding"} & set(answer.headers) == set()


async def test_adds_nothing_of_its_own(through: httpx.AsyncClient, upstream: Upstream) -> None:
    for name in ("accept", "accept-encoding", "user-agent", "connection"):
        del through.headers[name]
    await through.get("/mlflow/x")
    assert {n.lower() for n in upstream.asked[0].headers} == {"host"}, "no accept-encoding that nobody asked for"


async def test_quoted_paths_stay_quoted(through: httpx.AsyncClient, upstream: Upstream) -> None:
    await through.get("/mlflow/api/2.0/mlflow-artifacts/artifacts/1/a%20b%2Fc%3F.txt")
    assert upstream.asked[0].raw_path == "/mlflow/api/2.0/mlflow-artifacts/artifacts/1/a%20b%2Fc%3F.txt"


async def test_a_compressed_answer_stays_so(through: httpx.AsyncClient) -> None:
    answer = await through.get("/mlflow/zip")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text == "hello", "unpacked by the client, once"


async def test_redirects_lead_through_us(through: httpx.AsyncClient) -> None:
    assert (await through.get("/mlflow/moved")).headers["location"] == "/mlflow/there?a=1"
    assert (await through.get("/mlflow/elsewhere")).headers["location"] == "https://example.com/x"
    assert (await through.get("/mlflow")).headers["location"] == "/mlflow/"


async def test_an_upload_of_unknown_length_is_streamed(through: httpx.AsyncClient, upstream: Upstream) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"y" * (1 << 18)

    await through.put("/mlflow/up", content=chunks())
    assert len(upstream.bodies[0]) == 16 << 20
    await through.put("/mlflow/up", content=b"z" * 1000)
    assert upstream.asked[1].headers["content-length"] == "1000"


async def test_a_large_download(through: httpx.AsyncClient) -> None:
    answer = await through.get("/mlflow/big")
    assert len(answer.content) == 40 << 20


async def test_a_caller_who_leaves_is_not_downloaded_for(stand: Stand, upstream: Upstream) -> None:
    app, sent, enough = stand.app(mlflow=upstream.url), [0], asyncio.Event()

    async def send(message: Any) -> None:
        sent[0] += len(message.get("body", b""))
        if sent[0] > 1 << 20:
            enough.set()

    body = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        if (message := next(body, None)) is None:
            await enough.wait()
            return {"type": "http.disconnect"}
        return message

    await app(scope_of("GET", "/mlflow/endless"), receive, send)
    async with asyncio.timeout(30):
        await upstream.hung_up.wait()
    await stand.passages[-1].close()


async def test_status_and_method_are_kept(through: httpx.AsyncClient, upstream: Upstream) -> None:
    upstream.status = 404
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
        assert (await through.request(method, "/mlflow/x")).status_code == 404
    assert [r.method for r in upstream.asked] == ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


async def test_mlflow_breaks_off(through: httpx.AsyncClient) -> None:
    answer = await through.get("/mlflow/gone")
    assert answer.status_code == 503
    assert "predictions go on" in told(answer).message


SHUT = [
    "/mlflow/gateway", "/mlflow/gateway/mlflow/v1/chat/completions", "/mlflow//gateway/x", "/mlflow/%67ateway/x",
    "/mlflow/./gateway/x", "/mlflow///./gateway", "/mlflow/%2fgateway/x", "/mlflow/ajax-api/3.0/mlflow/assistant",
    "/mlflow/ajax-api/3.0/mlflow/assistant/chat", "/mlflow/ajax-api/3.0/jobs", "/mlflow/ajax-api/3.0/jobs/1",
    "/mlflow/ajax-api//3.0/jobs/1", "/mlflow/api/3.0/jobs", "/mlflow/ajax-api/3.0/mlflow/gateway/secrets",
    "/mlflow/ajax-api/2.0/mlflow/gateway-proxy", "/mlflow/api/2.0/mlflow/gateway/endpoints",
]  # fmt: skip
ODD = [
    "/mlflow/x/../gateway",
    "/mlflow/%2e%2e/admin",
    "/mlflow/a/..%2fgateway",
    "/%6dlflow/gateway",
    "/%6dlflow/mlflow/gateway",
]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_closed_is_closed_however_it_is_written(stand: Stand, upstream: Upstream, method: str) -> None:
    app = stand.app(mlflow=upstream.url)
    for path in SHUT + ODD:
        status = await raw_request(app, method, path)
        assert status == 403 if path in SHUT else status in (400, 404), path
    assert not upstream.asked
    await stand.passages[-1].close()


async def raw_request(app: FastAPI, method: str, path: str) -> int:
    """As uvicorn passes it on: a client library would tidy the path up."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await app(scope_of(method, path), receive, send)
    return int(sent[0]["status"])


def scope_of(method: str, path: str) -> dict[str, Any]:
    return {
        "type": "http", "method": method, "scheme": "http", "http_version": "1.1", "query_string": b"", "root_path": "",
        "path": unquote(path), "raw_path": path.encode(), "headers": [(b"host", b"127.0.0.1:8001")],
        "server": ("127.0.0.1", 8001), "client": ("127.0.0.1", 1),
    }  # fmt: skip


async def test_closed_says_why(through: httpx.AsyncClient) -> None:
    assert isinstance(told(await through.get("/mlflow/gateway/x")), Forbidden)


@pytest.mark.parametrize(
    "path",
    ["/", "/api/2.0/mlflow/runs/create", "/graphql", "/v1/traces", "/ajax-api/3.0/mlflow/traces/search", "/gateways",
     "/api/2.0/mlflow-artifacts/artifacts/1/gateway/x", "/static-files/gateway.js", "/get-artifact"],
)  # fmt: skip
def test_what_is_open(path: str) -> None:
    assert not CLOSED.match(path)


# the registry


@pytest.mark.parametrize("api", ["/api/2.0", "/ajax-api/2.0", "/api/3.0"])
def test_which_calls_change_the_registry(api: str) -> None:
    changes = (
        "model-versions/create",
        "model-versions/transition-stage",
        "registered-models/alias",
        "registered-models/delete",
    )
    others = (
        "model-versions/search",
        "model-versions/set-tag",
        "registered-models/get",
        "runs/create",
        "registered-models/search",
    )
    assert all(REGISTRY.match(f"{api}/mlflow/{path}") for path in changes)
    assert not any(REGISTRY.match(f"{api}/mlflow/{path}") for path in others)


async def test_a_change_is_followed_before_it_is_answered(
    stand: Stand, through: httpx.AsyncClient, upstream: Upstream
) -> None:
    order: list[str] = []
    stand.releases.on_sync = lambda: order.append(f"sync after {len(upstream.asked)}")
    await through.post("/mlflow/api/2.0/mlflow/model-versions/transition-stage", json={"stage": "Production"})
    await through.delete("/mlflow/api/2.0/mlflow/registered-models/alias?name=a")
    await through.get("/mlflow/api/2.0/mlflow/registered-models/alias?name=a")
    assert order == ["sync after 1", "sync after 2"]
    upstream.status = 404
    await through.post("/mlflow/api/2.0/mlflow/model-versions/transition-stage", json={})
    assert stand.releases.syncs == 2, "nothing was changed"


@pytest.mark.parametrize("error", [UpstreamError("MLflow is away"), RuntimeError("a bug")])
async def test_a_change_stands_though_it_cannot_be_followed(
    stand: Stand, through: httpx.AsyncClient, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    stand.releases.on_sync = fail
    answer = await through.post("/mlflow/api/2.0/mlflow/model-versions/create", json={})
    assert answer.status_code == 200
    assert "could not be followed" in caplog.text


async def test_a_slow_sync_does_not_hold_the_answer_for_ever(
    stand: Stand, through: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.api.admin.mlflow.SYNC_SECONDS", 0.05)
    go_on = threading.Event()
    stand.releases.on_sync = lambda: go_on.wait(30) and None
    answer = await through.post("/mlflow/api/2.0/mlflow/model-versions/create", json={})
    assert answer.status_code == 200
    assert not go_on.is_set()
    go_on.set()


async def test_many_changes_share_a_sync_but_each_is_followed() -> None:
    seen: list[int] = []
    changed = [0]
    entered, go_on = threading.Event(), threading.Event()

    def sync() -> None:
        seen.append(changed[0])
        entered.set()
        go_on.wait(30)

    follower = _Follower(sync)
    changed[0] = 1
    first = asyncio.create_task(follower.follow())
    await asyncio.to_thread(entered.wait, 30)
    changed[0] = 2
    later = [asyncio.create_task(follower.follow()) for _ in range(50)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, *later)
    assert seen == [1, 2], "one for those that came while it ran, begun after their changes"
