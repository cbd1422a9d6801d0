"""What a chat costs beyond its upstream: CPU of the data plane, beside a bare relay and other gateways, over mocks.

Called by `python -m bench gateway`. The upstreams are nginx, which answers at once with the same bytes, and paced.py,
which streams as models do; so all CPU of the processes measured is the gateways' own. Headrace runs with all on: a
virtual key, limits of requests, tokens and cost, prices, input and output in the journal. The relay (relay.py) is the
floor for anything written in Python. The others (gateways.py) run with as little on as they can.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

from bench import paced
from bench.cost import closed_loop, cpu_seconds, finish, generator, open_loop
from bench.gateways import KINDS, Subject, by_model, others
from bench.options import Options, say
from bench.running import ROOT, Platform, free_port, wait_for
from bench.wire import Request, post_json
from bench.words import ASKED, answer, events

WORDS = 200
EVENTS = WORDS + 2
CONCURRENCY = (1, 16, 64)
FEW = 100
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    requests: int
    failed: int
    cpu_ms: float
    p50_ms: float
    p99_ms: float


def gateway(platform: Platform, home: Path, options: Options) -> list[str]:
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        quick, slow = free_port(), free_port()
        stack.enter_context(_nginx(home / "mock", quick))
        stack.enter_context(_running("bench.paced", slow))
        direct = Subject(name="the upstream itself", pid=0, at=_by_path(quick, slow))
        relays = [stack.enter_context(_relayed(port)) for port in (quick, slow)]
        floor = [
            Subject(name=f"bare relay {kind}", pid=pid, at=_by_path(relays[0][0], relays[1][0]))
            for kind, (_, pid) in zip(("unary", "paced"), relays, strict=True)
        ]
        key = _configure(platform, quick, slow)
        ours = Subject(name="Headrace, all on", pid=platform.pid("data"), at=by_model(platform.port, key), users=1000)
        peers, missing = stack.enter_context(others(home / "others", _urls(quick, slow)))
        return [
            *_closed(home, options, direct, [floor[0], ours, *peers]),
            *_streamed(home, options, direct, [floor, [ours, ours], *([peer, peer] for peer in peers)]),
            *_added(home, options, direct, [floor[0], ours, *peers]),
            *missing,
        ]


def _closed(home: Path, options: Options, direct: Subject, subjects: list[Subject]) -> list[str]:
    """Each connection asks again when it has its answer."""
    rows = {
        (subject, c): _median(home, subject, "assistant", c, options)
        for c in options.concurrency or CONCURRENCY
        for subject in subjects
    }
    alone = _median(home, direct, "assistant", 1, options)
    said = f"{len(answer())} bytes at once (p50 {alone.p50_ms:.3f} ms asked directly)"
    lines = [
        f"Upstream: nginx, {said}. Load: {generator()}; medians of {options.rounds} rounds of {options.seconds:g} s.",
        "",
        "| gateway | connections | CPU-ms/call | to the relay | p50 ms | p99 ms | calls | failed |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for (subject, c), point in rows.items():
        least = rows[subjects[0], c].cpu_ms
        times = f"{point.cpu_ms / least:.1f}" if least else "-"
        lines.append(
            f"| {subject.name} | {c} | {point.cpu_ms:.3f} | {times} | {point.p50_ms:.2f} | {point.p99_ms:.2f} |"
            f" {point.requests} | {point.failed} |"
        )
    few = "Where the calls are few, their CPU has in it what was spent on calls that did not end in time."
    return [*lines, "", few] if min(point.requests for point in rows.values()) < FEW else lines


def _streamed(home: Path, options: Options, direct: Subject, pairs: list[list[Subject]]) -> list[str]:
    """Whole streams that come in large pieces; and 32 at once with an event every 20 ms."""
    said = (
        f"Streams of {EVENTS} events that nginx sends in large pieces (16 connections), and {paced.STREAMS} streams at"
        f" once of {paced.EVENTS} events, one every {paced.PACE * 1000:g} ms, less what the process costs at idle."
    )
    head = [
        "",
        said,
        "",
        "| gateway | CPU µs/event, coalesced | CPU µs/event, paced | first event p50 ms | p99 ms |",
        "|---|--:|--:|--:|--:|",
    ]
    rows = []
    for subject, slow in [[direct, direct], *pairs]:
        coalesced = _coalesced(home, subject, options) if subject.pid else "-"
        try:
            cost, firsts = _paced(slow, options)
        except TimeoutError:
            rows.append(f"| {subject.name} | {coalesced} | not done within {paced.SECONDS} s | - | - |")
            continue
        except OSError as error:
            rows.append(f"| {subject.name} | {coalesced} | none: {str(error)[:100]!r} | - | - |")
            continue
        told = f"{coalesced} | {cost:.1f}" if subject.pid else "- | -"
        rows.append(
            f"| {subject.name} | {told} | {1000 * median(firsts):.2f} | {1000 * firsts[len(firsts) * 99 // 100]:.2f} |"
        )
    return [*head, *rows]


def _coalesced(home: Path, subject: Subject, options: Options) -> str:
    point = _median(home, subject, "streamer", 16, options)
    if point.failed or point.requests < CONCURRENCY[1]:  # not one for each connection
        return f"{point.requests} done, {point.failed} failed"
    return f"{1000 * point.cpu_ms / EVENTS:.1f}"


def _paced(subject: Subject, options: Options) -> tuple[float, list[float]]:
    """CPU µs an event; seconds to the first event, in order."""
    port, request = subject.at("pacer")
    asked, firsts, costs = request.bytes_for(""), [], []
    for number in range(options.rounds + 1):
        idle = _spent(subject, lambda: time.sleep(1))
        began = time.monotonic()
        found: list[float] = []
        spent = _spent(subject, lambda: found.extend(asyncio.run(paced.listen(port, asked))))  # noqa: B023 -- at once
        spent -= idle * (time.monotonic() - began)
        if number:  # the first one opens connections and fills caches
            costs.append(1e6 * spent / (paced.STREAMS * paced.EVENTS))
            firsts += found
    say(f"  {subject.name}, paced: {[round(cost, 1) for cost in costs]} µs/event")
    return median(costs), sorted(firsts)


def _added(home: Path, options: Options, direct: Subject, subjects: list[Subject]) -> list[str]:
    """A fixed rate, whatever the gateway does; a latency counts from when a request was due."""
    lines = [
        "",
        "At a fixed rate over 16 connections (bench/load.py, a process of its own on the same cores):",
        "",
        "| gateway | asked for/s | answered/s | p50 ms | p99 ms | added p50 | added p99 |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for subject in subjects:
        bare, seen = (_at_rate(home, who, subject.rate, options) for who in (direct, subject))
        lines.append(
            f"| {subject.name} | {subject.rate} | {seen['requests'] / seen['seconds']:.0f} | {seen['p50_ms']:.2f} |"
            f" {seen['p99_ms']:.2f} | {seen['p50_ms'] - bare['p50_ms']:.2f} | {seen['p99_ms'] - bare['p99_ms']:.2f} |"
        )
    return lines


def _at_rate(home: Path, subject: Subject, rate: int, options: Options) -> dict[str, Any]:
    port, file = subject.asked(home, "assistant")
    runs = [finish(open_loop(port, file, concurrency=16, seconds=seconds, rate=rate)) for seconds in _rounds(options)]
    say(f"  {subject.name} at {rate}/s: {[(run['p50_ms'], run['p99_ms']) for run in runs[1:]]}")
    return sorted(runs[1:], key=lambda run: run["p50_ms"])[(len(runs) - 1) // 2]


def _rounds(options: Options) -> list[float]:
    return [1.0, *[options.seconds] * options.rounds]


def _median(home: Path, subject: Subject, what: str, concurrency: int, options: Options) -> Point:
    port, file = subject.asked(home, what)
    points = []
    for seconds in _rounds(options):
        told: dict[str, Any] = {}
        run = lambda: told.update(closed_loop(port, file, concurrency=concurrency, seconds=seconds))  # noqa: B023, E731
        spent = _spent(subject, run)
        points.append(
            Point(
                requests=told["requests"],
                failed=told["failed"],
                cpu_ms=1000 * spent / max(1, told["requests"]),
                p50_ms=told["p50_ms"],
                p99_ms=told["p99_ms"],
            )
        )
    say(f"  {subject.name}, {what}, c={concurrency}: {[round(point.cpu_ms, 3) for point in points[1:]]} CPU-ms/call")
    middle = median(point.cpu_ms for point in points[1:])
    return min(points[1:], key=lambda point: abs(point.cpu_ms - middle))


def _spent(subject: Subject, work: Callable[[], Any]) -> float:
    """CPU seconds of the subject's processes meanwhile."""
    before = cpu_seconds(subject.pid) if subject.pid else 0.0
    work()
    return cpu_seconds(subject.pid) - before if subject.pid else 0.0


def _by_path(quick: int, slow: int) -> Callable[[str], tuple[int, Request]]:
    def at(what: str) -> tuple[int, Request]:
        body = ASKED | {"model": "gpt"} | ({} if what == "assistant" else {"stream": True})
        return (slow if what == "pacer" else quick), post_json(f"{KINDS[what]}/chat/completions", body)

    return at


@contextmanager
def _nginx(folder: Path, port: int) -> Iterator[None]:
    folder.mkdir(parents=True)
    config = folder / "nginx.conf"
    (folder / "answer.json").write_bytes(answer())
    (folder / "stream.txt").write_bytes(b"".join(events(WORDS)))
    config.write_text(NGINX.format(folder=folder, port=port, user=getuser()))
    process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _answers(port), seconds=10, what="nginx")
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def _running(module: str, *arguments: int) -> Iterator[int]:
    """One of ours as a process; the first argument is its port. Its pid."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_for(lambda: _listens(arguments[0]), seconds=30, what=module)
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def _relayed(upstream: int) -> Iterator[tuple[int, int]]:
    port = free_port()
    with _running("bench.relay", port, upstream) as pid:
        yield port, pid


def _listens(port: int) -> bool:
    return any(c.laddr.port == port for c in psutil.net_connections("tcp4") if c.status == psutil.CONN_LISTEN)


def _answers(port: int) -> bool:
    try:
        return httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=ASKED, timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def _configure(platform: Platform, quick: int, slow: int) -> str:
    """Providers, a key, limits and prices; three chat endpoints. The key."""
    at = _urls(quick, slow)
    wide = {"level": "all", "window": "day", "amount": 1e12}
    document = {
        "providers": [{"name": name, "kind": "openai", "url": url, "private": True} for name, url in at.items()],
        "limits": [wide | {"counted": counted} for counted in ("requests", "tokens", "cost")],
        "prices": [{"provider": name, "model": "gpt", "input": 1.0, "output": 4.0} for name in at],
    }
    _done(platform.http.put(f"{platform.control}/api/v1/gateway", json={"gateway": document}))
    made = _done(platform.http.post(f"{platform.control}/api/v1/gateway/keys", json={"name": "bench", "team": "bench"}))
    for name in at:
        upstream = {"kind": "chat", "name": name, "model": f"{name}/gpt"}
        _done(platform.http.post(f"{platform.control}/api/v1/endpoints/{name}/deploy", json={"upstream": upstream}))
    return str(made["secret"])


def _urls(quick: int, slow: int) -> dict[str, str]:
    """Of the upstream, by model."""
    return {name: f"http://127.0.0.1:{slow if name == 'pacer' else quick}{path}" for name, path in KINDS.items()}


def _done(response: httpx.Response) -> Any:
    assert response.status_code < 300, response.text
    return response.json()
