"""The live version breaks under load, outside any release: how long until callers get answers again, and until the
version before is live for good.

Called by `python -m bench failover` and by the fault tests. Calls are sent at fixed times whatever the server does. The
time to recovery is from the break to the moment since which every call that was sent got its answer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from sklearn.datasets import load_digits

from bench.options import Options
from bench.running import Platform, wait_for

RATE = 40  # requests/s
BEFORE, AFTER = 5.0, 14.0  # seconds of load, before the break and after it
ENDPOINT = "custom"
GOOD = [row.tolist() for row in load_digits().data[-50:]]
Deed = Callable[[], None]
STRANGE = [[99.0, *row[1:]] for row in GOOD]  # version 2 raises on these, version 1 does not


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    at: float  # steady clock
    status: int  # 0: no answer
    variant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Seconds since the break."""

    name: str
    requests: int
    failed: int
    seconds: float
    lasting: float


def failover(platform: Platform, _: Path, __: Options) -> list[str]:
    prepare(platform)
    found = (
        recover(platform, "its model host hangs (SIGSTOP)", ready=hanging),
        recover(platform, "its model host dies and cannot start again", ready=losing),
        # The last: a version that cannot take what callers sent lately is refused from then on.
        recover(platform, "every call raises", rows=STRANGE),
    )
    return [
        f"{RATE} requests/s; version 2 of a pyfunc model is live, version 1 still loaded. Seconds are from the break;",
        "recovered: since then every call that was sent got its answer.",
        "",
        "| what breaks | requests after it | failed | recovered after s | plan, audit and registry after s |",
        "|---|--:|--:|--:|--:|",
        *(f"| {r.name} | {r.requests} | {r.failed} | {r.seconds:.2f} | {r.lasting:.1f} |" for r in found),
    ]


def prepare(platform: Platform, *, lasting: float = 5.0) -> None:
    platform.train(ENDPOINT, "brittle")
    platform.run("deploy", f"models:/{ENDPOINT}/1", "--endpoint", ENDPOINT)
    platform.run("endpoint", "set", ENDPOINT, f"failover.lasting_seconds={lasting:g}", "limits.timeout_ms=8000")


def recover(
    platform: Platform, name: str, *, rows: list[Any] | None = None, ready: Callable[[Platform], Deed] = lambda _: idle
) -> Recovery:
    """Version 2 goes live, and breaks: by `rows` that it cannot take, or by the deed that `ready` looks up all for."""
    platform.run("deploy", f"models:/{ENDPOINT}/2", "--endpoint", ENDPOINT)
    seen, broke = asyncio.run(_load(platform, rows or GOOD, ready(platform)))
    lasting = wait_for(lambda: lasts(platform), seconds=60, what="the version before is live for good")
    after = [call for call in seen if call.at >= broke]
    failed = [call for call in after if call.status != 200]
    assert {call.variant for call in seen if call.at < broke - 1} == {"v2"}, "version 2 was live before it broke"
    return Recovery(
        name=name,
        requests=len(after),
        failed=len(failed),
        seconds=max((call.at for call in failed), default=broke) - broke,
        lasting=lasting - (time.time() - (time.monotonic() - broke)),
    )


async def _load(platform: Platform, rows: list[Any], deed: Deed) -> tuple[list[Sent], float]:
    """All calls, and when it broke."""
    seen: list[Sent] = []
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=platform.data, timeout=20, limits=limits) as client,
        asyncio.TaskGroup() as all_,
    ):
        start = time.monotonic()
        broke = start + BEFORE
        for number in range(int((BEFORE + AFTER) * RATE)):
            due = start + number / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if number == int(BEFORE * RATE):
                broke = time.monotonic()
                all_.create_task(asyncio.to_thread(deed))
            source = GOOD if due < broke else rows
            all_.create_task(_one(client, source[number % len(source)], seen))
    return seen, broke


async def _one(client: httpx.AsyncClient, row: Any, seen: list[Sent]) -> None:
    at = time.monotonic()
    try:
        answer = await client.post("/predict", json={"model": ENDPOINT, "inputs": [row]})
        seen.append(Sent(at=at, status=answer.status_code, variant=answer.headers.get("x-headrace-variant", "")))
    except httpx.HTTPError:
        seen.append(Sent(at=at, status=0, variant=""))


def lasts(platform: Platform) -> float | None:
    """When the control plane made it lasting; None while it has not."""
    found = platform.http.get(f"{platform.control}/api/v1/endpoints/{ENDPOINT}").json()
    if found["policy"]["baseline"] != "v1":
        return None
    entries = platform.http.get(f"{platform.control}/api/v1/audit").json()["entries"]
    return next((float(e["time"]) for e in entries if e["action"] == "endpoint.failover"), None)


def hosts(platform: Platform) -> list[psutil.Process]:
    """Of version 2."""
    children = psutil.Process(platform.pid("data")).children(recursive=True)
    live = []
    for child in children:
        try:
            files = " ".join(child.cmdline())
        except psutil.Error:
            continue
        if "headrace.serving.host" in files and package(platform) in files:
            live.append(child)
    return live


def package(platform: Platform) -> str:
    found = platform.http.get(f"{platform.control}/api/v1/endpoints/{ENDPOINT}").json()
    return str(next(v["package"]["id"] for v in found["variants"] if v["name"] == "v2"))


def idle() -> None:
    """Nothing is done to it."""


def hanging(platform: Platform) -> Deed:
    """Its hosts stand still."""
    found = hosts(platform)
    return lambda: _signal(found, signal.SIGSTOP)


def losing(platform: Platform) -> Deed:
    """Its hosts are killed, with their files gone. They are back where they were when the load has ended."""
    found, folder = hosts(platform), platform.home / "artifacts" / "packages" / package(platform)
    away = folder.parent.with_name("away")

    def lose() -> None:
        folder.rename(away)
        _signal(found, signal.SIGKILL)
        time.sleep(AFTER)
        away.rename(folder)

    return lose


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    assert processes, "version 2 has a model host"
    for each in processes:
        os.kill(each.pid, number)
