"""A fixed rate held for minutes: does the p99 hold, does memory stay flat?

Called by `python -m bench soak`. Latencies count from when a request was due, so a stall shows in all requests behind
it. Memory is the data plane's, read at the start and at the end of each minute.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from sklearn.datasets import load_digits

from bench.cost import cpu_seconds, finish, open_loop, rss_mb
from bench.options import Options, say
from bench.running import Platform
from bench.wire import post_json, prepare

CONNECTIONS = 32
WARM_SECONDS = 10.0


def soak(platform: Platform, home: Path, options: Options) -> list[str]:
    platform.train("digits")
    platform.run("deploy", "models:/digits/1", "--endpoint", "digits")
    rows = load_digits().data[:300]
    requests = prepare(
        home / "requests", [post_json("/predict", {"model": "digits", "inputs": [row.tolist()]}) for row in rows]
    )
    finish(open_loop(platform.port, requests, concurrency=CONNECTIONS, seconds=WARM_SECONDS, rate=options.rate / 4))
    pid = platform.pid("data")
    memory, before = [rss_mb(pid)], cpu_seconds(pid)
    load = open_loop(platform.port, requests, concurrency=CONNECTIONS, seconds=60 * options.minutes, rate=options.rate)
    while load.poll() is None:
        try:
            load.wait(60)
        except subprocess.TimeoutExpired:
            memory.append(rss_mb(pid))
            say(f"  minute {len(memory) - 1}: {memory[-1]:.0f} MB")
    seen, used = finish(load), cpu_seconds(pid) - before
    memory.append(rss_mb(pid))
    return [
        (
            f"`/predict` on digits, {options.rate:,.0f} requests/s offered for {options.minutes:g} minutes over"
            f" {CONNECTIONS} connections, 1,000 users; latencies from when a request was due."
        ),
        "",
        "| offered/s | answered/s | requests | failed | CPU-ms/request | p50 ms | p99 ms | max ms |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|",
        (
            f"| {options.rate:,.0f} | {seen['requests'] / seen['seconds']:,.0f} | {seen['requests']:,} |"
            f" {seen['failed']} | {1000 * used / max(1, seen['requests']):.3f} | {seen['p50_ms']:.2f} |"
            f" {seen['p99_ms']:.2f} | {seen['max_ms']:.1f} |"
        ),
        "",
        "p99 ms by minute: " + ", ".join(f"{p99:.1f}" for p99 in seen["p99_by_minute"]) + ".",
        "Resident MB of the data plane, at the start and after each minute: "
        + ", ".join(f"{mb:.0f}" for mb in memory)
        + ".",
    ]
