"""The gateway over HTTP: applied, compared, undone; keys shown once; secrets never; what was spent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from admin_stand import Stand

from headrace.base.secret import Secret
from headrace.control.configuration import Configuration
from headrace.control.gateway import GatewayLook
from headrace.provision.service import Provision
from headrace.store import plans, spend
from headrace.store.artifacts import Artifacts
from headrace.store.secrets import Vault
from headrace.types.endpoint import PlaneReport
from headrace.types.gateway import Spent, Usage
from tests.control_samples import START, call

CANARY = "sk-canary-2b90"
API = "/api/v1/gateway"
JSON = {"content-type": "application/json"}
GATEWAY: dict[str, Any] = {
    "providers": [{"name": "openai", "kind": "openai", "url": "https://api.openai.com/v1", "secret": "openai"}],
    "keys": [{"name": "app", "team": "search"}],
    "limits": [{"level": "team", "counted": "cost", "amount": 5, "window": "day"}],
}


@pytest.fixture
async def client(stand: Stand) -> AsyncIterator[httpx.AsyncClient]:
    provision = stand.services.provision = Provision(
        database=stand.database,
        vault=Vault(stand.home / "keys", Secret("")),
        pepper=b"p" * 32,
        catalogue=lambda _: (),
        clock=stand.clock,
    )
    stand.services.configuration = Configuration(
        provision, stand.services.releases, database=stand.database, packages=Artifacts(stand.home / "artifacts")
    )
    async with stand.client() as made:
        assert (await made.put(f"{API}/secrets/openai", json={"value": CANARY})).status_code == 200
        yield made


async def test_applied_compared_and_undone(client: httpx.AsyncClient) -> None:
    lines = (await client.post(f"{API}/diff", json={"gateway": GATEWAY})).json()["lines"]
    assert [(line["deed"], line["section"]) for line in lines] == [
        ("add", name) for name in ("provider", "key", "limit")
    ]
    done = (await client.put(API, json={"gateway": GATEWAY, "reason": "first", "version": 1})).json()
    assert done["version"] == 2
    assert done["keys"][0]["secret"].startswith(f"hr-{done['keys'][0]['key']['id']}-")
    shown = (await client.get(API)).json()
    assert (shown["version"], shown["secrets"]) == (2, ["openai"])
    assert done["keys"][0]["secret"] not in str(shown)
    assert "hash" not in str(shown)
    again = await client.put(API, json={"gateway": shown["gateway"], "version": 2})
    assert again.json()["lines"] == []
    stale = await client.put(API, json={"gateway": {"limits": []}, "version": 1})
    assert stale.status_code == 409
    wrong = (await client.put(API, json={"gateway": {"limits": [{"level": "team"}]}})).json()
    assert wrong["field"].startswith("limits[0]")
    await client.put(API, json={"gateway": {"limits": []}})
    back = (await client.post(f"{API}/rollback", json={"version": 2})).json()
    assert [line["deed"] for line in back["lines"]] == ["add"]
    versions = (await client.get(f"{API}/versions")).json()["versions"]
    assert [(v["version"], v["reason"]) for v in versions[:2]] == [
        (4, "back to version 2"),
        (3, "remove limit team cost day"),
    ]


async def test_keys_and_secrets(client: httpx.AsyncClient) -> None:
    made = (await client.post(f"{API}/keys", json={"name": "app", "scopes": ["chat"]})).json()
    assert (await client.post(f"{API}/keys", json={"name": "app"})).status_code == 409
    turned = (await client.post(f"{API}/keys/app/rotate", json={"grace_seconds": 5})).json()
    assert turned["secret"] != made["secret"]
    assert (await client.patch(f"{API}/keys/app", json={"team": "x"})).json()["team"] == "x"
    assert (await client.delete(f"{API}/keys/app", headers=JSON)).json()["lines"][0]["deed"] == "remove"
    (listed,) = (await client.get(f"{API}/keys")).json()["keys"]
    assert listed["revoked"] > 0
    assert (await client.delete(f"{API}/keys/app", headers=JSON)).status_code == 404
    names = await client.get(f"{API}/secrets")
    assert names.json() == {"secrets": ["openai"]}
    rotated = await client.post(f"{API}/secrets/rotate", json={})
    assert rotated.json()["lines"] == [{"section": "secret", "name": "openai", "deed": "change", "detail": "new value"}]
    empty = await client.put(f"{API}/secrets/openai", json={"value": " "})
    assert (empty.status_code, CANARY in empty.text + names.text + rotated.text) == (400, False)
    assert (await client.delete(f"{API}/secrets/openai", headers=JSON)).status_code == 200
    assert (await client.delete(f"{API}/secrets/openai", headers=JSON)).status_code == 404


async def test_a_change_says_whether_it_is_in_force(stand: Stand, client: httpx.AsyncClient) -> None:
    """Asked after the plan was made: who is told of a key may use it."""
    seen: list[int] = []

    def in_force() -> PlaneReport:
        with stand.database.read() as conn:
            seen.append(plans.revision(conn))
        return PlaneReport(revision=seen[-1], live=len(seen) < 3, refused="" if len(seen) < 4 else "no such file")

    stand.services.in_force = in_force
    with stand.database.read() as conn:
        before = plans.revision(conn)
    made = (await client.post(f"{API}/keys", json={"name": "app"})).json()
    turned = (await client.post(f"{API}/keys/app/rotate", json={})).json()
    changed = (await client.patch(f"{API}/keys/app", json={"team": "x"})).json()
    gone = (await client.delete(f"{API}/keys/app", headers=JSON)).json()
    assert seen == [before + 1, before + 2, before + 3, before + 4]
    assert [each["in_force"] for each in (made, turned, changed, gone)] == [True, True, False, False]
    assert (changed.get("refused"), gone["refused"]) == (None, "no such file")


async def test_what_was_spent(stand: Stand, client: httpx.AsyncClient) -> None:
    spent = Spent(provider="openai", model="gpt-5", team="search", usage=Usage(input=7), cost=0.5)
    with stand.database.write() as conn:
        spend.add(conn, [call(1, spent=spent), call(2, spent=spent, time=START + 10)])
    found = (await client.get(f"{API}/spend", params={"by": "team,day", "only": "model=gpt-5"})).json()["sums"]
    assert [(each["group"]["team"], each["calls"], each["cost"]) for each in found] == [("search", 2, 1.0)]
    assert (await client.get(f"{API}/spend", params={"by": "nix"})).status_code == 400
    assert (await client.get(f"{API}/spend", params={"only": "model"})).status_code == 400


async def test_a_litellm_config_is_read_and_nothing_changes(client: httpx.AsyncClient) -> None:
    config = {"model_list": [{"model_name": "gpt", "litellm_params": {"model": "openai/gpt-5"}}]}
    found = (await client.post(f"{API}/import/litellm", json={"gateway": config})).json()
    assert found["endpoints"] == [{"name": "gpt", "ways": [{"provider": "openai", "model": "gpt-5"}]}]
    assert (await client.get(API)).json()["version"] == 1


async def test_how_it_is_and_what_a_version_changed(client: httpx.AsyncClient, stand: Stand) -> None:
    row = {"provider": "openai", "model": "gpt-5", "inside": 1, "failures_in_a_row": 0, "left_alone": False}
    row |= {"first_byte_ms": 10.0, "last_failure": None, "key_refused": False, "calls": {"ok": 2}}
    health = [SimpleNamespace(told=told) for told in ({"upstreams": [row]}, None, {"upstreams": [row]})]
    fill = {"counted": "cost", "level": "team", "window": "day", "who": "search", "used": 4.0}
    stand.services.gateway = GatewayLook(
        database=stand.database,
        provision=stand.services.provision,
        planes=SimpleNamespace(health=lambda: health, limits=lambda: [fill]),  # type: ignore[arg-type]
        artifacts=Artifacts(stand.home / "artifacts"),
        hashed=str,
        clock=stand.clock,
    )
    await client.put(API, json={"gateway": GATEWAY | {"prices": [{"provider": "openai", "model": "m", "input": 2}]}})
    (told,) = (await client.get(f"{API}/upstreams")).json()["upstreams"]
    assert (told["inside"], told["calls"]) == (2, {"ok": 4})
    (full,) = (await client.get(f"{API}/limits")).json()["limits"]
    assert (full["part"], full["counted"], full["held"][0]["who"]) == (0.8, 1, "search")
    change = (await client.get(f"{API}/versions/2")).json()
    assert [line["section"] for line in change["lines"]] == ["provider", "key", "limit", "price"]
    assert change["back"] == []
    assert (await client.get(f"{API}/versions/7")).status_code == 404
    (price,) = (await client.get(f"{API}/prices?find=m")).json()["prices"]
    assert (price["hold"], price["price"]["input"]) == ("now", 2.0)
    usage = Usage(input=1_000_000)
    priced = call(1, spent=Spent(usage=usage, cost=2.0, provider="openai", model="m"))
    with stand.database.write() as conn:
        spend.add(conn, [priced, call(2, spent=Spent(usage=usage, provider="openai", model="new"))])
    bill = (await client.get(f"{API}/costs")).json()
    assert bill["forecast"]["so_far"] == bill["total"]["cost"] == 2.0
    assert [each["model"] for each in bill["unpriced"]] == ["new"]


async def test_how_often_caches_answered_and_how_wrongly(client: httpx.AsyncClient, stand: Stand) -> None:
    def metric(name: str, value: int, **labels: str) -> dict[str, Any]:
        return {"name": f"headrace_cache_{name}_total", "labels": {"endpoint": "support", **labels}, "value": value}

    metrics = [metric("hits", 90, kind="semantic"), metric("checks", 19, outcome="same")]
    metrics.append(metric("checks", 1, outcome="different"))
    stand.services.planes = SimpleNamespace(metrics=lambda: metrics)
    (use,) = (await client.get(f"{API}/cache")).json()["endpoints"]
    assert (use["semantic"], use["checked"], use["false"], use["rate"]) == (90, 20, 1, 0.05)
    assert 0 < use["low"] < 0.05 < use["high"] < 0.25
