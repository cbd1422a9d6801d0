"""History, approvals, undo and webhooks over HTTP; and the way into MLflow when a second person is needed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from admin_stand import Stand, told
from aiohttp import web

from headrace.api.admin.guard import actor_in
from headrace.api.admin.registry_call import read_call
from headrace.notify.hooks import Hooks
from headrace.notify.sender import Sender
from headrace.release.record import RegistryCall
from headrace.store import approvals, audit
from headrace.types.approval import Approval, Deed
from headrace.types.errors import ApprovalNeeded, BadInput, Conflict
from headrace.types.history import About


def wrote(stand: Stand, *actions: str) -> None:
    with stand.database.write() as conn:
        for number, action in enumerate(actions):
            about = About(endpoint="digits")
            now = stand.clock.now() + number
            audit.append(conn, actor="ann", action=action, subject="endpoint:digits", detail="d", now=now, about=about)


async def test_history_is_read_page_by_page(stand: Stand, client: httpx.AsyncClient) -> None:
    wrote(stand, "endpoint.deploy", "release.start", "release.promoted")
    page = (await client.get("/api/v1/history", params={"action": "release.*", "limit": 1})).json()
    assert [e["action"] for e in page["entries"]] == ["release.promoted"]
    rest = (await client.get("/api/v1/history", params={"before": page["next"], "endpoint": "digits"})).json()
    assert ([e["action"] for e in rest["entries"]], rest["next"]) == (["release.start", "endpoint.deploy"], None)
    one = (await client.get(f"/api/v1/history/{page['next']}")).json()
    assert one == page["entries"][0]
    assert (await client.get("/api/v1/history/check")).json()["entries"] == 3
    assert (await client.get("/api/v1/history/999")).status_code == 404
    assert (await client.get("/api/v1/history", params={"limit": 0})).status_code == 400


async def test_requests_that_wait_and_those_that_are_void(stand: Stand, client: httpx.AsyncClient) -> None:
    now = stand.clock.now()
    deed = Deed(kind="unload", endpoint="digits")
    waits = Approval(id="apr_1", deed=deed, sentence="digits is unloaded", actor="ann",
                     reason="", created=now, expires=now + 10, people=1)  # fmt: skip
    with stand.database.write() as conn:
        approvals.put(conn, waits)
        approvals.put(conn, replace(waits, id="apr_0", created=now - 99, expires=now))
    pending = (await client.get("/api/v1/approvals", params={"state": "pending"})).json()["approvals"]
    assert [one["id"] for one in pending] == ["apr_1"]
    assert (await client.get("/api/v1/approvals/apr_0")).json()["state"] == "expired"
    assert isinstance(told(await client.get("/api/v1/approvals/apr_9")), Exception)


async def test_what_needs_a_second_person_is_refused(stand: Stand, client: httpx.AsyncClient) -> None:
    stand.releases.tells, stand.releases.error = (), ApprovalNeeded("another person must approve it", field="approval")
    answer = await client.post("/models/digits/stage", json={"version": 2, "stage": "Production"})
    assert answer.status_code == 403
    assert isinstance(told(answer), ApprovalNeeded)


async def test_undo_goes_to_the_engine(stand: Stand, client: httpx.AsyncClient) -> None:
    asked: list[Any] = []

    def undo(name: str, **more: Any) -> dict[str, str]:
        asked.append((name, more["actor"], more["reason"], more["entry"]))
        raise Conflict("its last move took traffic away for a reason")

    stand.releases.undo = undo  # type: ignore[attr-defined]
    answer = await client.post(
        "/api/v1/endpoints/digits/undo", json={"entry": 7, "reason": "r"}, headers={"x-headrace-actor": "bob"}
    )
    assert (answer.status_code, asked) == (409, [("digits", "bob", "r", 7)])


async def test_webhooks_are_made_changed_and_removed(stand: Stand, client: httpx.AsyncClient) -> None:
    sender = Sender(b"k" * 32, stand.clock, "test")
    stand.services.hooks = Hooks(database=stand.database, sender=sender, clock=stand.clock)
    made = await client.post("/api/v1/webhooks", json={"name": "chat", "url": "http://127.0.0.1:9/x"})
    assert (made.status_code, made.json()["secret"][:6]) == (201, "whsec_")
    changed = await client.patch("/api/v1/webhooks/chat", json={"events": ["stage.*"], "active": False})
    assert (changed.json()["events"], changed.json()["active"]) == (["stage.*"], False)
    tried = await client.post("/api/v1/webhooks/chat/test", json={})
    assert (tried.status_code, tried.json()["state"]) == (200, "failed")
    log = (await client.get("/api/v1/webhooks/chat/deliveries")).json()["deliveries"]
    assert [d["event"] for d in log] == ["webhook.test"]
    done = await client.put("/api/v1/webhooks", json={"webhooks": [], "prune": True})
    assert [hook["name"] for hook in done.json()["removed"]] == ["chat"]
    headers = {"content-type": "application/json"}
    assert (await client.delete("/api/v1/webhooks/chat", headers=headers)).status_code == 404
    assert (await client.get("/api/v1/webhooks")).json() == {"webhooks": []}


@pytest.mark.parametrize(
    ("named", "authorization", "actor"),
    [
        ("ann", "Basic Ym9iOnNlY3JldA==", "ann"),
        ("", "Basic Ym9iOnNlY3JldA==", "bob"),
        ("", "Bearer secret", "operator"),
        (" \x00\n", "Basic !", "operator"),
        ("a" * 200, "", "a" * 100),
    ],
)
def test_who_did_it(named: str, authorization: str, actor: str) -> None:
    assert actor_in(named, authorization) == actor


# --- MLflow

V, A = "model-versions", "registered-models"


@pytest.mark.parametrize(
    ("method", "path", "body", "call"),
    [
        ("POST", f"/api/2.0/mlflow/{V}/transition-stage", {"name": "m", "version": "2", "stage": "production"},
         RegistryCall(model="m", version=2, stage="Production")),
        ("POST", f"/ajax-api/2.0/mlflow/{V}/transition-stage", {"name": "m", "version": 2, "stage": "odd"}, None),
        ("POST", f"/api/2.0/mlflow/{A}/alias", {"name": "m", "alias": "a", "version": "3"},
         RegistryCall(model="m", version=3, name="a")),
        ("DELETE", f"/api/2.0/mlflow/{A}/alias", {"name": "m", "alias": "a"},
         RegistryCall(model="m", version=0, name="a")),
        ("DELETE", f"/api/2.0/mlflow/{V}/delete", {"name": "m", "version": "1"},
         RegistryCall(model="m", version=1, gone=True)),
        ("POST", f"/api/2.0/mlflow/{A}/rename", {"name": "m"}, RegistryCall(model="m", version=0, gone=True)),
        ("DELETE", f"/api/2.0/mlflow/{A}/delete", {"name": "m"}, RegistryCall(model="m", version=0, gone=True)),
        ("PATCH", f"/api/2.0/mlflow/{V}/update", {"name": "m"}, None),
        ("POST", "/api/2.0/mlflow/runs/create", {}, None),
    ],
)  # fmt: skip
def test_what_a_request_to_the_registry_would_move(
    method: str, path: str, body: dict[str, Any], call: RegistryCall | None
) -> None:
    plain = json.dumps(body)
    for raw in (plain.encode(), plain.encode("utf-16"), json.dumps(plain).encode()):
        assert read_call(method, path, raw) == call


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xff\xff", b'"x"'])
def test_what_cannot_be_read_is_not_passed_on(body: bytes) -> None:
    with pytest.raises(BadInput):
        read_call("POST", f"/api/2.0/mlflow/{A}/alias", body)


@dataclass
class Registry:
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    status: int = 200
    url: str = ""


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    made = Registry()

    async def handle(request: web.Request) -> web.Response:
        made.asked.append((request.path, await request.read()))
        return web.json_response({}, status=made.status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mlflow"
    yield made
    await runner.cleanup()


@pytest.fixture
def move() -> dict[str, Any]:
    return {
        "url": f"/mlflow/api/2.0/mlflow/{V}/transition-stage",
        "json": {"name": "m", "version": "2", "stage": "Production"},
        "headers": {"authorization": "Basic Ym9iOnNlY3JldA=="},
    }


async def test_a_move_through_the_door_is_claimed(stand: Stand, registry: Registry, move: dict[str, Any]) -> None:
    async with stand.client(mlflow=registry.url) as client:
        assert (await client.post(**move)).status_code == 200
    assert json.loads(registry.asked[0][1]) == move["json"]
    assert stand.releases.claimed == [(RegistryCall(model="m", version=2, stage="Production"), "bob")]
    assert stand.releases.syncs == 1


async def test_one_that_mlflow_refuses_is_not(stand: Stand, registry: Registry, move: dict[str, Any]) -> None:
    registry.status = 404
    async with stand.client(mlflow=registry.url) as client:
        assert (await client.post(**move)).status_code == 404
    assert stand.releases.claimed == []


async def test_one_that_needs_a_second_person_does_not_reach_mlflow(
    stand: Stand, registry: Registry, move: dict[str, Any]
) -> None:
    stand.releases.refuses = ApprovalNeeded("another person must approve it first (request apr_1)")
    async with stand.client(mlflow=registry.url) as client:
        for path in (move["url"], move["url"].replace("transition-stage", "transition%2Dstage")):
            answer = await client.post(**move | {"url": path})
            assert answer.status_code == 403
            assert answer.json()["error_code"] == "PERMISSION_DENIED"
            assert "apr_1" in answer.json()["message"]
    assert registry.asked == []
