"""What a shadow does to the people who are answered: p50 and p99 of live calls with all of them copied, and with none.

Called by `python -m bench shadow`. The same plane and model in turn, in rounds: a release in a shadow step of 100 %
runs, or nothing does. The rate is fixed and latencies count from when a request was due; the last rows are a loop that
is never free, where shadows have to give way. What was copied and what was dropped is the plane's own count.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from sklearn.datasets import load_digits

from bench.cost import closed_loop, cpu_seconds, finish, generator, open_loop
from bench.options import Options, say
from bench.running import Platform, wait_for
from bench.wire import post_json, prepare

RATES = (200, 500, 1000, 0)  # requests/s; 0: as fast as they are answered
PLAN: dict[str, Any] = {
    "strategy": "shadow",
    "steps": [{"kind": "shadow", "mirror": 100, "min_seconds": 1e6, "max_seconds": 1e7}],
    "metrics": [
        {"name": "errors", "kind": "errors"},
        {"name": "flips", "kind": "flips", "critical": False, "tolerance": 0.5},
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    copied: int
    dropped: int


def shadow(platform: Platform, home: Path, options: Options) -> list[str]:
    platform.train("digits", "digits")
    platform.run("deploy", "models:/digits/1", "--endpoint", "digits")
    rows = load_digits().data[-300:]
    file = prepare(
        home / "requests", [post_json("/predict", {"model": "digits", "inputs": [row.tolist()]}) for row in rows]
    )
    _measure(platform, file, 500, 2.0)  # the first calls of a process are like no others
    seen: dict[tuple[int, bool], list[Point]] = {}
    for number in range(options.rounds):
        for copied in (False, True) if number % 2 == 0 else (True, False):
            release = _begin(platform) if copied else ""
            for rate in RATES:
                point = _measure(platform, file, rate, options.seconds)
                seen.setdefault((rate, copied), []).append(point)
                say(f"  {rate or 'max'}/s, {'shadow' if copied else 'alone'}: p99 {point.p99_ms:.2f} ms {point}")
            if release:
                _end(platform, release)
    return [
        (
            "Logistic regression on 64 pixels, one row of JSON per request, 16 connections; the shadow is another"
            " version of it. Load at a fixed rate: bench/load.py, latencies from when a request was due; at full"
            f" speed: {generator()}. Medians of {options.rounds} rounds of {options.seconds:g} s, in turn."
        ),
        "",
        "| requests/s | shadow | p50 ms | p99 ms | CPU-ms/request | copied | dropped | failed |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
        *(_row(rate, copied, points) for (rate, copied), points in sorted(seen.items(), key=_order)),
        "",
        *(_ratio(rate, seen[rate, True], seen[rate, False]) for rate in RATES),
    ]


def _order(item: tuple[tuple[int, bool], list[Point]]) -> tuple[bool, int, bool]:
    (rate, copied), _ = item
    return rate == 0, rate, copied


def _row(rate: int, copied: bool, points: list[Point]) -> str:
    p50, p99, cpu = (median(getattr(p, name) for p in points) for name in ("p50_ms", "p99_ms", "cpu_ms"))
    sums = [sum(getattr(p, name) for p in points) for name in ("requests", "copied", "dropped", "failed")]
    share = [f"{100 * count / sums[0]:.1f} %" if copied else "" for count in sums[1:3]]
    what = "100 %" if copied else "none"
    return (
        f"| {rate or 'full speed'} | {what} | {p50:.3f} | {p99:.3f} | {cpu:.3f} | {share[0]} | {share[1]} | {sums[3]} |"
    )


def _ratio(rate: int, copied: list[Point], alone: list[Point]) -> str:
    p50, p99 = (
        median(getattr(p, name) for p in copied) / median(getattr(p, name) for p in alone) - 1
        for name in ("p50_ms", "p99_ms")
    )
    return f"{f'{rate}/s' if rate else 'Full speed'}: p50 {100 * p50:+.1f} %, p99 {100 * p99:+.1f} %.  "


def _measure(platform: Platform, file: Path, rate: int, seconds: float) -> Point:
    pid = platform.pid("data")
    before, counts = cpu_seconds(pid), _counts(platform)
    told = (
        finish(open_loop(platform.port, file, concurrency=16, seconds=seconds, rate=rate))
        if rate
        else closed_loop(platform.port, file, concurrency=16, seconds=seconds)
    )
    spent = cpu_seconds(pid) - before
    wait_for(lambda: _metric(platform, "headrace_shadow_queued") == 0, seconds=30, what="shadows that wait")
    after = _counts(platform)
    return Point(
        requests=told["requests"],
        failed=told["failed"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        cpu_ms=1000 * spent / max(1, told["requests"]),
        copied=after[0] - counts[0],
        dropped=after[1] - counts[1],
    )


def _begin(platform: Platform) -> str:
    """In force on the plane when it is answered."""
    url = f"{platform.control}/api/v1/endpoints/digits/releases"
    done = platform.http.post(url, json={"candidate": "models:/digits/2", "plan": PLAN})
    done.raise_for_status()
    _settled(platform)
    return str(done.json()["id"])


def _end(platform: Platform, release: str) -> None:
    platform.http.post(f"{platform.control}/api/v1/releases/{release}/abort", json={}).raise_for_status()
    _settled(platform)


def _settled(platform: Platform) -> None:
    wanted = platform.http.get(f"{platform.control}/api/v1/status").json()["revision"]
    wait_for(
        lambda: platform.http.get(f"{platform.data}/health").json()["revision"] >= wanted, seconds=30, what="the plan"
    )


def _counts(platform: Platform) -> tuple[int, int]:
    """Copies that were answered, and that were dropped."""
    return (
        int(_metric(platform, "headrace_shadow_total", outcome="ok")),
        int(_metric(platform, "headrace_shadow_total", outcome="dropped")),
    )


def _metric(platform: Platform, name: str, **labels: str) -> float:
    metrics = platform.http.get(f"{platform.data}/metrics").json()["metrics"]
    return sum(m["value"] for m in metrics if m["name"] == name and labels.items() <= m["labels"].items())
