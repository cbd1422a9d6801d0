"""What a process tree costs while it is under load: CPU from the operating system's own accounting, and memory.

Called by the sections. Decides who makes the load: wrk (Debian's package) where it is installed, because a generator in
Python cannot keep the fastest servers busy and an idle server pays for being woken; else bench/load.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
SCRIPT = Path(__file__).with_name("load.lua")
WRK = shutil.which("wrk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One measured point. CPU is of the server's whole process tree; the load generator is another process."""

    requests: int
    failed: int
    cpu_ms: float  # per request
    beside_ms: float  # per request, of processes that work for this server but do not answer
    per_second: float
    p50_ms: float
    p99_ms: float
    rss_mb: float


def tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    total = 0.0
    for process in tree(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def rss_mb(pid: int) -> float:
    total = 0
    for process in tree(pid):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def generator() -> str:
    """For the head of a table."""
    if WRK is None:
        return "bench/load.py (wrk is not installed)"
    told = subprocess.run([WRK, "--version"], capture_output=True, text=True).stdout.split()
    return f"wrk {told[1]} -t1" if len(told) > 1 else "wrk -t1"


def closed_loop(port: int, requests: Path, *, concurrency: int, seconds: float) -> dict[str, Any]:
    """Each connection sends the next request when the answer to its last is there."""
    if WRK is None:
        return finish(open_loop(port, requests, concurrency=concurrency, seconds=seconds, rate=0))
    command = [
        WRK,
        "-t1",
        f"-c{concurrency}",
        f"-d{max(1, round(seconds))}s",
        "--timeout=30s",
        "--latency",
        f"-s{SCRIPT}",
    ]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}", "--", str(requests)], check=True, capture_output=True, text=True
    )
    seen: dict[str, Any] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return seen


def open_loop(port: int, requests: Path, *, concurrency: int, seconds: float, rate: float) -> subprocess.Popen[bytes]:
    """A fixed rate, whatever the server does; `finish` waits for it."""
    flags = [f"--port={port}", f"--requests={requests}", f"--concurrency={concurrency}", f"--seconds={seconds}"]
    return subprocess.Popen(
        [sys.executable, "-m", "bench.load", *flags, f"--rate={rate}"], stdout=subprocess.PIPE, cwd=ROOT
    )


def finish(load: subprocess.Popen[bytes]) -> dict[str, Any]:
    told, _ = load.communicate()
    if load.returncode:
        raise RuntimeError(f"the load generator ended with {load.returncode}")
    seen: dict[str, Any] = json.loads(told)
    return seen


def measure(
    pid: int, port: int, requests: Path, *, concurrency: int, seconds: float, beside: tuple[int, ...] = ()
) -> Cost:
    """Warm up for a third of the time, then count."""
    closed_loop(port, requests, concurrency=concurrency, seconds=seconds / 3)
    before, around = cpu_seconds(pid), sum(map(cpu_seconds, beside))
    seen = closed_loop(port, requests, concurrency=concurrency, seconds=seconds)
    used, helped = cpu_seconds(pid) - before, sum(map(cpu_seconds, beside)) - around
    count = max(1, seen["requests"])
    return Cost(
        requests=seen["requests"],
        failed=seen["failed"],
        cpu_ms=1000 * used / count,
        beside_ms=1000 * helped / count,
        per_second=seen["requests"] / seen["seconds"],
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
        rss_mb=rss_mb(pid),
    )
