"""The gateway on a whole platform: changes while it serves, what breaks behind it, and secrets that are nowhere."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import pytest
import yaml
from sqlalchemy import inspect, text

from bench.postgres import NotHere, Server, postgres_server
from bench.running import HEADRACE, Platform, wait_for
from bench.upstream import WORDS, Upstream, running_upstream
from headrace.store.db import Database

pytestmark = [pytest.mark.process, pytest.mark.postgres]
CANARY = "sk-canary-51f0c2d7ab9e"
ASK = {"model": "chat", "messages": [{"role": "user", "content": "What is a headrace?"}]}
PRICE = {"provider": "well", "model": "up", "input": 1.0, "output": 4.0}


@dataclass
class Walk:
    platform: Platform
    postgres: Server
    upstream: Upstream
    key: str = ""
    told: list[str] = field(default_factory=list)  # what commands and callers were told

    def ask(self, model: str = "chat", *, key: str | None = None, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key if key is None else key}"}
        url = f"{self.platform.data}/v1/chat/completions"
        answer = self.platform.http.post(url, json=ASK | {"model": model} | more, headers=headers)
        self.told.append(answer.text + repr(answer.headers))
        return answer

    def admin(self, path: str) -> Any:
        return self.platform.http.get(f"{self.platform.control}{path}").raise_for_status().json()

    def run(self, *arguments: str, given: str = "", code: int = 0) -> str:
        """`headrace ARGUMENTS` with something on its standard input."""
        done = subprocess.run(
            [HEADRACE, *arguments], env=self.platform.env, capture_output=True, text=True, input=given
        )
        assert done.returncode == code, done.stdout + done.stderr
        self.told.append(done.stdout + done.stderr)
        return done.stdout

    def apply(self, **sections: Any) -> None:
        file = self.platform.home / "gateway.yaml"
        file.write_text(yaml.safe_dump(sections))
        self.run("apply", "-f", str(file), "--reason", "test")

    def put(self, path: str, **body: Any) -> Any:
        url = f"{self.platform.control}/api/v1/gateway{path}"
        return self.platform.http.put(url, json=body).raise_for_status().json()

    def made(self, name: str, **more: Any) -> str:
        """A key. It is good as soon as its maker is told."""
        url = f"{self.platform.control}/api/v1/gateway/keys"
        made = self.platform.http.post(url, json={"name": name, **more}).raise_for_status().json()
        assert (self.ask(key=made["secret"]).status_code, made["in_force"]) == (200, True)
        return str(made["secret"])

    def deploy(self, name: str, provider: str) -> None:
        upstream = {"kind": "chat", "name": name, "model": f"{provider}/up", "retries": {"attempts": 1}}
        url = f"{self.platform.control}/api/v1/endpoints/{name}/deploy"
        done = self.platform.http.post(url, json={"upstream": upstream})
        assert done.status_code < 300, done.text

    def billed(self, **only: str) -> dict[str, float]:
        """Of one endpoint, or whatever `only` says."""
        (name, value) = next(iter(only.items()))
        sums = [s for s in self.admin(f"/api/v1/gateway/spend?by={name}")["sums"] if s["group"][name] == value]
        if not sums:
            return {"calls": 0, "cost": 0.0, "output": 0}
        return {"calls": sums[0]["calls"], "cost": sums[0]["cost"], "output": sums[0]["usage"]["output"]}


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    home = tmp_path_factory.mktemp("walk") / "home"
    try:
        server = postgres_server(fsync=False)
        with server as postgres, running_upstream() as upstream:
            settings = {"database_url": postgres.url, "mlflow_sample": 1, "log_level": "debug"}
            with Platform(home, **settings) as platform:
                found = Walk(platform, postgres, upstream)
                found.run("secret", "set", "upstream", given=CANARY)
                providers = [upstream.provider(name, secret="upstream") for name in ("well", "echo")]
                found.put("", gateway={"providers": providers, "prices": [PRICE]})
                for name, provider in (("chat", "well"), ("moved", "well"), ("echo", "echo")):
                    found.deploy(name, provider)
                found.key = found.made("app", team="search")
                yield found
    except NotHere as error:
        pytest.skip(f"{error}, then run: pytest -m postgres")


def test_a_change_is_in_force_and_cuts_no_stream(walk: Walk) -> None:
    other = walk.made("gone")
    walk.upstream.pace = 0.5  # a stream of two and a half seconds
    begun, lines = threading.Event(), []

    def listen() -> None:
        url, headers = f"{walk.platform.data}/v1/chat/completions", {"authorization": f"Bearer {walk.key}"}
        with httpx.stream("POST", url, json=ASK | {"stream": True}, headers=headers, timeout=30) as answer:
            for line in answer.iter_lines():
                lines.append(line)
                begun.set()

    listener = threading.Thread(target=listen)
    listener.start()
    assert begun.wait(10)
    walk.upstream.pace = 0.0
    walk.apply(
        providers=[walk.upstream.provider(name, secret="upstream", connections=7) for name in ("well", "echo")],
        prices=[PRICE | {"output": 400.0}],
        limits=[{"level": "endpoint", "who": "moved", "counted": "requests", "amount": 2, "window": "day"}],
    )
    walk.run("key", "revoke", "gone")
    assert walk.ask(key=other).status_code == 401, "worth nothing as soon as that was said"
    wait_for(lambda: walk.ask("moved").status_code == 429, seconds=10, what="the limit")
    before = walk.upstream.came["echo"]
    walk.deploy("moved", "echo")
    walk.put("", gateway={"limits": []})
    assert walk.ask("moved").status_code == 422, "the other upstream"
    assert walk.upstream.came["echo"] > before
    dear = 400.0 * len(WORDS) / 1e6
    assert walk.ask().status_code == 200
    wait_for(lambda: walk.billed(endpoint="chat")["cost"] > dear, seconds=20, what="the new price")
    listener.join(30)
    assert [json.loads(line[6:])["choices"][0]["delta"]["content"] for line in lines[: 2 * len(WORDS) : 2]] == list(
        WORDS
    )
    assert "data: [DONE]" in lines, "the stream was not cut"


def test_a_turned_key_is_good_at_once_and_those_before_for_their_grace(walk: Walk) -> None:
    keys = [walk.made("turned")]
    for _ in range(5):
        url = f"{walk.platform.control}/api/v1/gateway/keys/turned/rotate"
        keys.append(walk.platform.http.post(url, json={"grace_seconds": 600}).raise_for_status().json()["secret"])
        assert {walk.ask(key=key).status_code for key in keys} == {200}
    walk.run("key", "rotate", "turned", "--grace", "0")
    assert {walk.ask(key=key).status_code for key in keys} == {401}


def test_mlflow_hangs(walk: Walk) -> None:
    process = psutil.Process(walk.platform.pid("mlflow"))
    family = [process, *process.children(recursive=True)]
    for each in family:
        each.suspend()
    try:
        answer = walk.ask()
        assert answer.status_code == 200
        trace = answer.headers["x-headrace-trace"]
        before = walk.billed(team="search")
        assert walk.ask().status_code == 200
        wait_for(lambda: walk.billed(team="search")["calls"] > before["calls"], seconds=20, what="the ledger goes on")
    finally:
        for each in family:
            each.resume()

    def mirrored() -> bool:
        url = f"{walk.platform.control}/mlflow/api/3.0/mlflow/traces/{trace}"
        return httpx.get(url, timeout=30).status_code == 200

    wait_for(mirrored, seconds=60, what="the trace arrives in MLflow")


def test_the_database_is_down(walk: Walk) -> None:
    """Callers notice nothing; nothing can be changed; when it is back, each call is billed, once."""
    before = walk.billed(key=walk.key.split("-")[1])
    walk.postgres.stop()
    try:
        answers = [walk.ask(stream=bool(number % 2)) for number in range(10)]
        assert {answer.status_code for answer in answers} == {200}
        assert walk.ask(key="hr-nobody").status_code == 401
        spoken = {"trace_id": answers[0].headers["x-headrace-trace"], "user_rating": "up"}
        headers = {"authorization": f"Bearer {walk.key}"}
        assert httpx.post(f"{walk.platform.data}/feedback", json=spoken, headers=headers).status_code == 200
        refused = httpx.put(f"{walk.platform.control}/api/v1/gateway", json={"gateway": {"limits": []}}, timeout=90)
        assert refused.status_code == 503, refused.text
        assert "database" in refused.text
        assert "database_url" in walk.run("gateway", "show", code=3) + walk.told[-1]
        health = wait_for(
            lambda: (found := httpx.get(f"{walk.platform.data}/health").json())["database"]["error"] and found,
            seconds=10,
            what="it is told",
        )
        assert health["status"] == "ready"
    finally:
        walk.postgres.start()

    def billed() -> bool:
        try:
            return walk.billed(key=walk.key.split("-")[1])["calls"] == before["calls"] + len(answers)
        except httpx.HTTPStatusError:
            return False

    wait_for(billed, seconds=60, what="each call is billed")
    time.sleep(0.5)  # and no second time
    after = walk.billed(key=walk.key.split("-")[1])
    assert (after["calls"], after["output"]) == (before["calls"] + 10, before["output"] + 10 * len(WORDS))


def test_secrets_are_nowhere(walk: Walk) -> None:
    """Of providers and of callers: in nothing that is written, told, measured, kept or traced."""
    for stream in (False, True):
        assert "[key]" in walk.ask("echo", stream=stream).text
    wait_for(lambda: walk.billed(endpoint="echo")["calls"] >= 2, seconds=20, what="all was read")
    traced = json.dumps(walk.admin("/api/v1/traces?limit=100"))
    wait_for(lambda: "echo" in traces(walk), seconds=30, what="MLflow has it")
    for arguments in (
        ("status", "--json"),
        ("gateway", "show"),
        ("key", "list", "--json"),
        ("history", "--json"),
        ("traces", "--endpoint", "echo", "--json"),
    ):
        walk.run(*arguments)
    for url in (f"{walk.platform.data}/metrics", f"{walk.platform.data}/health", f"{walk.platform.control}/metrics"):
        walk.told.append(httpx.get(url, headers={"authorization": f"Bearer {walk.key}"}, timeout=30).text)
    dump = tables(walk.postgres.url)
    assert "well" in dump
    told = [*walk.told, traced, traces(walk), dump]
    secrets = {CANARY: "the provider's", walk.key: "the caller's", walk.key.rpartition("-")[2]: "half of the caller's"}
    assert [(name, text[:200]) for text in told for secret, name in secrets.items() if secret in text] == []
    assert CANARY in walk.upstream.keys, "it was really sent"
    written = [path for path in walk.platform.home.rglob("*") if path.is_file()]
    assert len(written) > 20
    found = [(str(path), name) for path in written for secret, name in secrets.items()
             if secret.encode() in path.read_bytes()]  # fmt: skip
    assert found == []


def tables(url: str) -> str:
    """All rows of all tables."""
    database = Database(url)
    with database.read() as conn:
        names = inspect(conn).get_table_names()
        found = {name: [tuple(row) for row in conn.execute(text(f'SELECT * FROM "{name}"'))] for name in names}
    database.close()
    return repr(found)


def traces(walk: Walk) -> str:
    """All that MLflow has of conversations."""
    url = f"{walk.platform.control}/mlflow/api/3.0/mlflow/traces/search"
    experiments = walk.platform.http.post(
        f"{walk.platform.control}/mlflow/api/2.0/mlflow/experiments/search", json={"max_results": 100}
    ).json()["experiments"]
    places = [
        {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": e["experiment_id"]}} for e in experiments
    ]
    return walk.platform.http.post(url, json={"locations": places, "max_results": 500}).text
