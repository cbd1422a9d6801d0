"""What a chat costs beyond its upstream: CPU per call of the data plane, beside LiteLLM's proxy, over a mock upstream.

Called by `python -m bench gateway`. The upstream is nginx, which answers at once with the same bytes, so that all CPU
of the process measured is the gateway's own. Headrace runs with all on: a virtual key, limits of requests, tokens and
cost, prices, input and output in the journal. LiteLLM runs without a database, keys or limits, in an environment of its
own (BENCH_HOME/litellm/env; left out when it is not there).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from getpass import getuser
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

from bench.cost import closed_loop, cpu_seconds, generator
from bench.options import Options, say
from bench.peers.base import HOME
from bench.running import Platform, free_port, wait_for
from bench.wire import post_json, prepare

EVENTS = 200
CONCURRENCY = (1, 16, 64)
NGINX = """
daemon off; user {user}; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    root {folder}; open_file_cache max=10;
    location = /v1/chat/completions {{ error_page 405 =200 /answer.json; return 405; }}
    location = /stream/v1/chat/completions {{ error_page 405 =200 /stream.txt; return 405; }}
    location = /answer.json {{ internal; default_type application/json; }}
    location = /stream.txt {{ internal; types {{ }} default_type text/event-stream; }}
  }}
}}
"""
BODY: dict[str, Any] = {
    "model": "assistant",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Say in one sentence what a headrace is."},
    ],
    "max_tokens": 64,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    requests: int
    failed: int
    cpu_ms: float
    p50_ms: float
    p99_ms: float


def gateway(platform: Platform, home: Path, options: Options) -> list[str]:
    port = free_port()
    with _mock(home / "mock", port):
        key = _configure(platform, port)
        unary = _requests(home / "unary", "assistant", key)
        stream = _requests(home / "stream", "streamer", key, stream=True)
        pid = platform.pid("data")
        rows = {("Headrace, all on", c): _median(platform.port, pid, unary, c, options) for c in CONCURRENCY}
        rows["Headrace, a stream of 202 events", 16] = _median(platform.port, pid, stream, 16, options)
        direct = _median(port, 0, _requests(home / "direct", "assistant", ""), 1, options)
        with _litellm(home / "litellm", port) as found:
            if found is not None:
                its_port, pid = found
                its = _requests(home / "its", "assistant", "")
                for c in (1, 16):
                    rows["LiteLLM's proxy, nothing on", c] = _median(its_port, pid, its, c, options)
    base = rows["Headrace, all on", 16].cpu_ms
    event_us = 1000 * rows["Headrace, a stream of 202 events", 16].cpu_ms / (EVENTS + 2)
    said = f"{len(json.dumps(_answer()))} bytes at once (p50 {direct.p50_ms:.3f} ms asked directly)"
    return [
        f"Upstream: nginx, {said}. Load: {generator()}; medians of {options.rounds} rounds of {options.seconds:g} s.",
        "",
        "| gateway | connections | CPU-ms/call | to Headrace | p50 ms | p99 ms | calls | failed |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
        *(
            f"| {name} | {c} | {p.cpu_ms:.3f} | {p.cpu_ms / base:.1f} | {p.p50_ms:.2f} | {p.p99_ms:.2f} |"
            f" {p.requests} | {p.failed} |"
            for (name, c), p in rows.items()
        ),
        "",
        f"A stream costs {event_us:.1f} µs an event (coalesced: nginx sends them in large pieces).",
    ]


@contextmanager
def _mock(folder: Path, port: int) -> Iterator[None]:
    folder.mkdir(parents=True)
    config = folder / "nginx.conf"
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in _events()) + "data: [DONE]\n\n"
    (folder / "answer.json").write_text(json.dumps(_answer()))
    (folder / "stream.txt").write_text(stream)
    config.write_text(NGINX.format(folder=folder, port=port, user=getuser()))
    process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        wait_for(lambda: _answers(url), seconds=10, what="nginx")
        yield
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.post(url, json=BODY, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _configure(platform: Platform, port: int) -> str:
    """Providers, a key, limits and prices; two chat endpoints. The key."""
    base = f"http://127.0.0.1:{port}"
    wide = {"level": "all", "window": "day", "amount": 1e12}
    document = {
        "providers": [
            {"name": "mock", "kind": "openai", "url": f"{base}/v1", "private": True},
            {"name": "mocks", "kind": "openai", "url": f"{base}/stream/v1", "private": True},
        ],
        "limits": [wide | {"counted": counted} for counted in ("requests", "tokens", "cost")],
        "prices": [{"provider": "mock", "model": "gpt", "input": 1.0, "output": 4.0}],
    }
    _done(platform.http.put(f"{platform.control}/api/v1/gateway", json={"gateway": document}))
    made = _done(platform.http.post(f"{platform.control}/api/v1/gateway/keys", json={"name": "bench", "team": "bench"}))
    for name, provider in (("assistant", "mock"), ("streamer", "mocks")):
        upstream = {"kind": "chat", "name": name, "model": f"{provider}/gpt"}
        _done(platform.http.post(f"{platform.control}/api/v1/endpoints/{name}/deploy", json={"upstream": upstream}))
    return str(made["secret"])


def _done(response: httpx.Response) -> Any:
    assert response.status_code < 300, response.text
    return response.json()


def _requests(file: Path, model: str, key: str, *, stream: bool = False) -> Path:
    body = BODY | {"model": model} | ({"stream": True} if stream else {})
    headers = {"authorization": f"Bearer {key}"} if key else {}
    request = post_json("/v1/chat/completions", body)
    return prepare(file, [replace(request, headers={**request.headers, **headers})], users=0 if not key else 1000)


def _median(port: int, pid: int, file: Path, concurrency: int, options: Options) -> Point:
    closed_loop(port, file, concurrency=concurrency, seconds=1)
    points = []
    for _ in range(options.rounds):
        before = cpu_seconds(pid) if pid else 0.0
        told = closed_loop(port, file, concurrency=concurrency, seconds=options.seconds)
        spent = cpu_seconds(pid) - before if pid else 0.0
        points.append(
            Point(
                requests=told["requests"],
                failed=told["failed"],
                cpu_ms=1000 * spent / max(1, told["requests"]),
                p50_ms=told["p50_ms"],
                p99_ms=told["p99_ms"],
            )
        )
        say(f"  {file.name} c={concurrency}: {points[-1]}")
    return sorted(points, key=lambda point: abs(point.cpu_ms - median(p.cpu_ms for p in points)))[0]


@contextmanager
def _litellm(folder: Path, mock: int) -> Iterator[tuple[int, int] | None]:
    program = HOME / "litellm" / "env" / "bin" / "litellm"
    if not program.exists():
        say(f"  LiteLLM is left out: there is no {program}")
        yield None
        return
    folder.mkdir(parents=True)
    config, port = folder / "config.yaml", free_port()
    base = f"http://127.0.0.1:{mock}/v1"
    parameters = {"model": "openai/gpt", "api_base": base, "api_key": "none"}
    config.write_text(json.dumps({"model_list": [{"model_name": "assistant", "litellm_params": parameters}]}))
    env = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PATH": f"{program.parent}:{os.environ['PATH']}"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"],
            env=env,
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        started = time.monotonic()
        wait_for(lambda: _answers(url), seconds=120, what=f"LiteLLM (see {folder}/log)")
        say(f"  LiteLLM answered after {time.monotonic() - started:.1f} s")
        yield port, process.pid
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.terminate()
        process.terminate()
        process.wait(20)


def _answer() -> dict[str, Any]:
    message = {"role": "assistant", "content": "A headrace leads water to the wheel of a mill. " * 4, "refusal": None}
    return {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion",
        "created": 1780000000,
        "model": "gpt-2026-01-01",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 28, "completion_tokens": 48, "total_tokens": 76},
        "system_fingerprint": "fp_0123456789",
    }


def _events() -> Iterator[dict[str, Any]]:
    head = {"id": "chatcmpl-0123456789", "object": "chat.completion.chunk", "created": 1780000000, "model": "gpt"}
    for number in range(EVENTS):
        delta = {"content": f" word{number}"}
        yield head | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]}
    yield head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
