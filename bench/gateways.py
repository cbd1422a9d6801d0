"""Other gateways before the same upstreams, each started as its makers say and with nothing on that can be off.

Called by gateway.py. LiteLLM's proxy runs in an environment of its own (BENCH_HOME/litellm/env, `litellm[proxy]`),
Portkey's on Node (BENCH_HOME/portkey, `npm install @portkey-ai/gateway`), MLflow's in a server of its own from our own
environment, with usage tracking off. One that is not there, or does not start, is left out and says why.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.options import say
from bench.peers.base import HOME
from bench.running import free_port
from bench.wire import Request, post_json, prepare
from bench.words import ASKED

START_SECONDS = 300.0  # on a machine that does other things too: they import for long
KINDS = {"assistant": "/v1", "streamer": "/stream/v1", "pacer": "/v1"}  # models, and where the upstream has them
KEY = "sk-of-the-bench-8a1f0c7d2e9b4d65"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who is measured. `at`: port and request, by what is asked. `pid` 0: the upstreams themselves. `rate`: calls a
    second that it bears, for the latency that it adds."""

    name: str
    pid: int
    at: Callable[[str], tuple[int, Request]]
    users: int = 0
    rate: int = 1000

    def asked(self, folder: Path, what: str) -> tuple[int, Path]:
        """Port, and a file for the load generator."""
        port, request = self.at(what)
        return port, prepare(folder / f"{self.name.split()[0]}-{what}", [request], users=self.users)


class LeftOut(Exception):
    """Why this gateway is not measured."""


def by_model(
    port: int, key: str, path: str = "/v1/chat/completions", more: Callable[[str], Mapping[str, str]] = lambda what: {}
) -> Callable[[str], tuple[int, Request]]:
    def at(what: str) -> tuple[int, Request]:
        request = post_json(path, ASKED | {"model": what} | ({} if what == "assistant" else {"stream": True}))
        return port, replace(request, headers={**request.headers, "authorization": f"Bearer {key}", **more(what)})

    return at


@contextmanager
def others(folder: Path, urls: Mapping[str, str]) -> Iterator[tuple[list[Subject], list[str]]]:
    """Who is here, and for each who is not why. `urls`: of the upstream, by model."""
    found, missing = [], []
    with ExitStack() as stack:
        for start in (_litellm, _mlflow, _portkey):
            try:
                subject = stack.enter_context(start(folder / start.__name__.strip("_"), urls))
            except LeftOut as reason:
                missing += ["", str(reason)]
            else:
                found.append(subject)
        yield found, missing


@contextmanager
def _litellm(folder: Path, urls: Mapping[str, str]) -> Iterator[Subject]:
    name, program = "LiteLLM's proxy", HOME / "litellm" / "env" / "bin" / "litellm"
    models = [
        {"model_name": model, "litellm_params": {"model": "openai/gpt", "api_base": url, "api_key": "none"}}
        for model, url in urls.items()
    ]
    port = free_port()
    command = [str(program), "--config", "config.json", "--port", str(port), "--host", "127.0.0.1"]
    alone = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY, "LITELLM_LOG": "ERROR"}
    alone["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_list": models}))
    with _process(name, [*command, "--telemetry", "False"], folder, alone) as process:
        at = by_model(port, KEY)
        _until_it_answers(name, process, folder, at)
        yield Subject(name=f"{name}, one key, nothing else on", pid=process.pid, at=at, rate=20)


@contextmanager
def _mlflow(folder: Path, urls: Mapping[str, str]) -> Iterator[Subject]:
    name, port = "MLflow's gateway", free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    local = {"MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS": "true", "MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES": "http"}
    bare = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    told = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--uvicorn-opts", "--log-level warning"]
    with _process(name, [*command, *told], folder, bare | local) as process:
        base = f"http://127.0.0.1:{port}"
        _wait(name, process, folder, lambda: httpx.get(f"{base}/health", timeout=5).status_code == 200)
        with httpx.Client(base_url=f"{base}/api/3.0/mlflow/gateway/", timeout=60) as client:
            for model, url in urls.items():
                _mlflow_endpoint(client, model, url)
        at = by_model(port, KEY, "/gateway/mlflow/v1/chat/completions")
        _until_it_answers(name, process, folder, at)
        yield Subject(name=f"{name}, its own route, no tracking", pid=process.pid, at=at, rate=20)


def _mlflow_endpoint(client: httpx.Client, model: str, url: str) -> None:
    def made(what: str, **fields: Any) -> Any:
        return client.post(f"{what}/create", json=fields).raise_for_status().json()

    said = {"secret_name": model, "secret_value": {"api_key": KEY}, "auth_config": {"api_base": url}}
    secret = made("secrets", provider="openai", **said)["secret"]["secret_id"]
    definition = made("model-definitions", name=model, secret_id=secret, provider="openai", model_name="gpt")
    number = definition["model_definition"]["model_definition_id"]
    config = {"model_definition_id": number, "linkage_type": "PRIMARY", "weight": 1.0}
    made("endpoints", name=model, model_configs=[config], usage_tracking=False)


@contextmanager
def _portkey(folder: Path, urls: Mapping[str, str]) -> Iterator[Subject]:
    name, port = "Portkey's gateway", free_port()
    program = HOME / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    with _process(name, ["node", str(program), "--headless", f"--port={port}"], folder, {}) as process:
        told = {model: {"x-portkey-provider": "openai", "x-portkey-custom-host": url} for model, url in urls.items()}
        at = by_model(port, KEY, more=lambda what: told[what])
        _until_it_answers(name, process, folder, at)
        yield Subject(name=f"{name}, nothing on", pid=process.pid, at=at, rate=200)


@contextmanager
def _process(name: str, command: list[str], folder: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, env=os.environ | env, stdout=log, stderr=log, cwd=folder)
    except OSError as error:
        raise LeftOut(f"{name} is left out: {error}") from error
    try:
        yield process
    finally:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.terminate()
            process.terminate()
        process.wait(20)


def _until_it_answers(
    name: str, process: subprocess.Popen[bytes], folder: Path, at: Callable[[str], tuple[int, Request]]
) -> None:
    port, request = at("assistant")

    def answers() -> bool:
        url, headers = f"http://127.0.0.1:{port}{request.path}", request.headers
        return httpx.post(url, content=request.body, headers=headers, timeout=5).status_code == 200

    _wait(name, process, folder, answers)


def _wait(name: str, process: subprocess.Popen[bytes], folder: Path, condition: Callable[[], bool]) -> None:
    started = time.monotonic()
    while process.poll() is None and time.monotonic() - started < START_SECONDS:
        try:
            if condition():
                say(f"  {name} answered after {time.monotonic() - started:.1f} s")
                return
        except httpx.TransportError:  # it does not listen yet
            pass
        time.sleep(0.2)
    last = " ".join((folder / "log").read_text(errors="replace").split())[-200:]
    raise LeftOut(f"{name} is left out: it did not answer within {START_SECONDS:.0f} s. It said last: {last!r}")
