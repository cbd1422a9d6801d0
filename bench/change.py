"""Hot swap, release and roll back under load: failed requests, and p99 during the change against steady p99.

Called by `python -m bench change`, and by program.py for the versions of a program. The rate is fixed and latencies
count from when a request was due.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sklearn.datasets import load_digits

from bench.cost import finish, open_loop
from bench.options import Options
from bench.running import Platform
from bench.wire import post_json, prepare

RATE = 400
FAST = ("--step-seconds", "2", "--min-units", "5")
TO_TWO = ["deploy", "models:/digits/2", "--endpoint", "digits"]
TO_ONE = ["deploy", "models:/digits/1", "--endpoint", "digits"]
RELEASE = ["release", "digits", "--candidate", "models:/digits/2", "--canary", *FAST]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    name: str
    requests: int
    failed: int
    steady_p99_ms: float
    during_p99_ms: float
    seconds: float


def change(platform: Platform, home: Path, _: Options) -> list[str]:
    platform.train("digits", "digits")
    platform.run(*TO_ONE)
    rows = load_digits().data[-300:]
    requests = prepare(
        home / "requests", [post_json("/predict", {"model": "digits", "inputs": [row.tolist()]}) for row in rows]
    )
    changes = (
        during(platform, requests, "hot swap (deploy of another version)", TO_TWO),
        during(platform, requests, "hot swap back", TO_ONE),
        during(platform, requests, "release to 100 %", RELEASE),
    )
    return [
        f"{RATE} requests/s from 1,000 users over 16 connections, latencies from when a request was due;",
        "the p99 is over the whole change, preparation included.",
        "",
        *table(changes),
    ]


def table(changes: Iterable[Change]) -> list[str]:
    return [
        "| change | requests | failed | p99 steady ms | p99 during ms | ratio | took s |",
        "|---|--:|--:|--:|--:|--:|--:|",
        *(
            f"| {c.name} | {c.requests} | {c.failed} | {c.steady_p99_ms:.2f} | {c.during_p99_ms:.2f} |"
            f" {c.during_p99_ms / c.steady_p99_ms:.2f} | {c.seconds:.1f} |"
            for c in changes
        ),
    ]


def during(
    platform: Platform, requests: Path, name: str, command: list[str], *, rate: float = RATE, most: float = 40
) -> Change:
    """`most`: seconds that it may take."""
    quiet = finish(open_loop(platform.port, requests, concurrency=16, seconds=6, rate=rate))
    load = open_loop(platform.port, requests, concurrency=16, seconds=most, rate=rate)
    time.sleep(1)  # the load is up; what is measured is the change, not the wait
    start = time.monotonic()
    platform.run(*command)
    seconds = time.monotonic() - start
    load.terminate()
    seen = finish(load)
    return Change(
        name=name,
        requests=seen["requests"],
        failed=seen["failed"],
        steady_p99_ms=quiet["p99_ms"],
        during_p99_ms=seen["p99_ms"],
        seconds=seconds,
    )
