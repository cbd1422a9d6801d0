"""On a real data plane: keys that come and go while it runs, models that they may ask for, and a secret that is in
nothing that is written."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from chat_plane import chat_endpoint, over
from plane_samples import endpoint
from test_data_plane import BODY, RunningPlane

from bench.running import wait_for
from bench.upstream import running_upstream
from headrace.base.clock import SystemClock
from headrace.base.ids import load_key
from headrace.base.secret import Secret
from headrace.provision.service import Provision
from headrace.store.secrets import Vault
from headrace.traffic.keys import CALLERS_KEY
from headrace.types.gateway import Price

pytestmark = pytest.mark.process
CANARY = "sk-canary-c4d7e1"


def test_keys_come_and_go_and_no_secret_is_written_down(tmp_path: Path) -> None:
    home = tmp_path / "home"
    running = RunningPlane(home, log_level="debug")
    provision = provision_of(running)
    try:
        running.publish(endpoint(running.v1))
        running.start()
        wait_for(lambda: running.http.post("/predict", json=BODY).status_code == 200, seconds=30, what="the plane")
        provision.set_secret("openai", Secret(CANARY), actor="ann")
        made = provision.create_key({"name": "app", "models": ["toy"]}, actor="ann")
        other = provision.create_key({"name": "other", "models": ["x*"]}, actor="ann")
        document = {"providers": [{"name": "openai", "kind": "openai", "url": "https://h/v1", "secret": "openai"}]}
        provision.apply(document, actor="ann")
        wait_for(lambda: ask(running).status_code == 401, seconds=10, what="a key to be asked for")
        wait_for(lambda: ask(running, made.secret).status_code == 200, seconds=10, what="the new key")
        assert ask(running, made.secret, name="x-api-key", scheme="").status_code == 200
        refused = ask(running, other.secret)
        assert (refused.status_code, refused.json()["error"]["type"]) == (403, "forbidden")
        assert running.http.get("/models", headers=bearer(made.secret)).status_code == 403  # not its scope
        turned = provision.rotate_key("app", actor="ann", grace_seconds=600)
        wait_for(lambda: ask(running, turned.secret).status_code == 200, seconds=10, what="the turned key")
        assert ask(running, made.secret).status_code == 200
        provision.revoke_key("app", actor="ann")
        wait_for(lambda: ask(running, turned.secret).status_code == 401, seconds=10, what="the revoked key")
        assert "revoked" in ask(running, turned.secret).text
        provision.rotate_secrets(actor="ann")
        told = " ".join(ask(running, each).text for each in (made.secret, other.secret, Secret("hr-x-y")))
    finally:
        running.close()
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"openai" in written  # it was really looked at
    for canary in (CANARY, made.secret.reveal(), turned.secret.reveal(), other.secret.reveal()):
        assert canary.encode() not in written
        assert canary not in told


def test_models_that_a_key_or_a_person_may_ask_for(tmp_path: Path) -> None:
    """Others are not listed, and refused in the form of the client."""
    home = tmp_path / "home"
    running = RunningPlane(home)
    provision = provision_of(running)
    with running_upstream() as upstream:
        try:
            names = ("alpha", "beta", "gamma")
            well = [upstream.provider("well"), upstream.provider("well") | {"name": "own", "kind": "gemini"}]
            provision.apply({"providers": well, "people": [{"user": "eve@x.org", "models": ["beta"]}]}, actor="ann")
            key = provision.create_key({"name": "app", "models": ["alpha", "g*"]}, actor="ann").secret
            chat = provision.create_key({"name": "chat", "trusted": True}, actor="ann").secret
            chats = (chat_endpoint(running.artifacts, home, name, over("well")) for name in names)
            running.start().live(running.publish(*chats))
            eve = bearer(chat) | {"x-headrace-user": "eve@x.org"}
            anthropic = {"anthropic-version": "2023-06-01"}
            for headers, allowed in ((bearer(key), ["alpha", "gamma"]), (eve, ["beta"]), (bearer(chat), [*names])):
                for more in ({}, anthropic):
                    listed = running.http.get("/v1/models", headers=headers | more).json()["data"]
                    assert [model["id"] for model in listed] == allowed
                for name in names:
                    known = running.http.get(f"/v1/models/{name}", headers=headers).status_code
                    spoken = said(running, name, "/v1/chat/completions", headers).status_code
                    assert (known, spoken) == ((200, 200) if name in allowed else (404, 403)), name
            refused = said(running, "beta", "/v1/chat/completions", bearer(key)).json()["error"]
            assert (refused["type"], refused["code"]) == ("permission_error", None)
            refused = said(running, "beta", "/v1/messages", bearer(key, "x-api-key", "") | anthropic).json()
            assert (refused["type"], refused["error"]["type"]) == ("error", "permission_error")
            path = "/v1beta/models/beta:generateContent"
            refused = running.http.post(path, json={"contents": []}, headers=bearer(key)).json()["error"]
            assert (refused["code"], refused["status"]) == (403, "PERMISSION_DENIED")
        finally:
            running.close()


def provision_of(running: RunningPlane) -> Provision:
    return Provision(
        database=running.database,
        vault=Vault(running.home / "keys", Secret("")),
        pepper=load_key(running.home / "keys" / CALLERS_KEY),
        catalogue=lambda _: (Price(provider="openai", model="m", source="a list"),),
        clock=SystemClock(),
    )


def said(running: RunningPlane, model: str, path: str, headers: dict[str, str]) -> httpx.Response:
    message = {"role": "user", "content": "Hello"}
    body = {"model": model, "messages": [message], "input": "Hello", "max_tokens": 9}
    return running.http.post(path, json=body, headers=headers)


def bearer(secret: Secret, name: str = "authorization", scheme: str = "Bearer ") -> dict[str, str]:
    return {name: scheme + secret.reveal()}


def ask(running: RunningPlane, secret: Secret | None = None, **how: str) -> httpx.Response:
    return running.http.post("/predict", json=BODY, headers=bearer(secret, **how) if secret else {})
