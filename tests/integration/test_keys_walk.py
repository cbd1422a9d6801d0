"""On a real data plane: keys that come and go while it runs, and a secret that is in nothing that is written."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from plane_samples import endpoint
from test_data_plane import BODY, RunningPlane

from bench.running import wait_for
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
    provision = Provision(
        database=running.database,
        vault=Vault(home / "keys", Secret("")),
        pepper=load_key(home / "keys" / CALLERS_KEY),
        catalogue=lambda _: (Price(provider="openai", model="m", source="a list"),),
        clock=SystemClock(),
    )
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


def bearer(secret: Secret, name: str = "authorization", scheme: str = "Bearer ") -> dict[str, str]:
    return {name: scheme + secret.reveal()}


def ask(running: RunningPlane, secret: Secret | None = None, **how: str) -> httpx.Response:
    return running.http.post("/predict", json=BODY, headers=bearer(secret, **how) if secret else {})
