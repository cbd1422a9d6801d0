"""What a process tree costs: CPU seconds and memory, from the operating system's own accounting."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One measured point. CPU is of the server's whole process tree; the load generator is another process."""

    name: str
    concurrency: int
    requests: int
    failed: int
    cpu_ms: float  # per request
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
    return sum(p.memory_info().rss for p in tree(pid)) / 1e6


def generate(port: int, path: str, bodies: list[Any], **options: Any) -> dict[str, Any]:
    """Run the load generator as a process of its own; `options` are its flags."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bodies.json"
        file.write_text(json.dumps(bodies))
        flags = [f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items()]
        done = subprocess.run(
            [sys.executable, "-m", "bench.load", f"--port={port}", f"--path={path}", f"--bodies={file}", *flags],
            check=True,
            capture_output=True,
            cwd=Path(__file__).parents[1],
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def measure(name: str, pid: int, port: int, path: str, bodies: list[Any], *, concurrency: int, seconds: float) -> Cost:
    """Warm up for a third of the time, then count."""
    generate(port, path, bodies, concurrency=concurrency, seconds=seconds / 3, users=1000)
    before = cpu_seconds(pid)
    seen = generate(port, path, bodies, concurrency=concurrency, seconds=seconds, users=1000)
    used = cpu_seconds(pid) - before
    return Cost(
        name=name,
        concurrency=concurrency,
        requests=seen["requests"],
        failed=seen["failed"],
        cpu_ms=1000 * used / max(1, seen["requests"]),
        per_second=seen["per_second"],
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
        rss_mb=rss_mb(pid),
    )
