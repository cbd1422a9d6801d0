"""Hot swap, release and roll back under load: failed requests, and p99 during the change against steady p99."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits

from bench.running import ROOT, Platform

RATE = 400
FAST = ("--step-seconds", "2", "--min-units", "5")


@dataclass(frozen=True, kw_only=True)
class Change:
    name: str
    requests: int
    failed: int
    steady_p99_ms: float
    during_p99_ms: float
    seconds: float


def measure_changes(platform: Platform) -> list[Change]:
    """`digits` has version 1 live and version 2 registered."""
    return [
        _during(
            platform, "hot swap (deploy of another version)", ["deploy", "models:/digits/2", "--endpoint", "digits"]
        ),
        _during(platform, "hot swap back", ["deploy", "models:/digits/1", "--endpoint", "digits"]),
        _during(
            platform, "release to 100 %", ["release", "digits", "--candidate", "models:/digits/2", "--canary", *FAST]
        ),
    ]


def _during(platform: Platform, name: str, command: list[str]) -> Change:
    steady = _load(platform, seconds=6)
    quiet = json.loads(steady.communicate()[0])
    load = _load(platform, seconds=40)
    time.sleep(1)  # the load is up; what is measured is the change, not the wait
    start = time.monotonic()
    platform.run(*command)
    seconds = time.monotonic() - start
    load.terminate()
    seen = json.loads(load.communicate()[0])
    return Change(
        name=name,
        requests=seen["requests"],
        failed=seen["failed"],
        steady_p99_ms=quiet["p99_ms"],
        during_p99_ms=seen["p99_ms"],
        seconds=seconds,
    )


def _load(platform: Platform, *, seconds: float) -> subprocess.Popen[Any]:
    rows = [{"model": "digits", "inputs": [row.tolist()]} for row in load_digits().data[-300:]]
    file = Path(tempfile.mkdtemp(dir=platform.home)) / "bodies.json"
    file.write_text(json.dumps(rows))
    flags = [f"--port={platform.port}", "--path=/predict", f"--bodies={file}", f"--seconds={seconds}", "--users=1000"]
    return subprocess.Popen(
        [sys.executable, "-m", "bench.load", *flags, f"--rate={RATE}", "--concurrency=16"],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
