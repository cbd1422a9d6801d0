"""Chats for hours: streams, callers who hang up, upstreams that fail, keys that are turned; does anything leak?

Called by `python -m bench chats` and `make soak`. The upstream is bench/upstream.py, which counts what it produces.
Three things must hold when it is over: what the data plane holds (memory, sockets, files) is what it held after the
first minutes; nobody is inside; and the ledger has each call once, with the tokens that the upstream produced. Of a
stream that its caller left nobody tells the usage: it is billed by what the gateway had read, so that a token may have
been on the way.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.cost import cpu_seconds, rss_mb
from bench.options import Options, say
from bench.running import Platform, wait_for
from bench.upstream import ASKED, WORDS, Upstream, running_upstream

CALLERS = 24
PACE = 0.01  # seconds between two tokens of a stream
CHANGE_SECONDS = 10.0  # until a key is turned again
WARM_SECONDS = 30.0  # until memory is what it will be
AFTER_SECONDS = 6.0  # longer than an idle connection is kept
FAULTS = ("429", "500", "cut", "cut-middle", "in-band", "in-band-middle", "nonsense")
ENDPOINTS = ("chat", "left", "fall", *FAULTS)
QUESTION = {"messages": [{"role": "user", "content": "What is a headrace?"}], "max_tokens": 50}
PRICE = {"model": "up", "input": 1.0, "output": 4.0}


@dataclass(slots=True)
class Said:
    """What callers saw, by kind and status. `left`: streams that callers hung up on after their first event."""

    seen: Counter[str] = field(default_factory=Counter)
    keys: list[str] = field(default_factory=list)
    stop: bool = False
    pause: float = 0.0
    began: float = field(default_factory=time.monotonic)
    broken: list[str] = field(default_factory=list)  # that must not have been
    turn: int = 0  # of the second key
    late: int = 0  # turns that were not in force when they were answered


@dataclass(frozen=True, slots=True)
class Held:
    """By the data plane."""

    rss_mb: float
    sockets: int
    files: int


def chats(platform: Platform, _: Path, options: Options) -> list[str]:
    minutes = options.minutes
    with running_upstream() as upstream:
        upstream.pace = PACE
        _configure(platform, upstream)
        said, process = Said(), psutil.Process(platform.pid("data"))
        said.keys = [_key(platform, "first"), _key(platform, "second")]
        wait_for(lambda: _usable(platform, said), seconds=30, what="keys in force")
        begun, spent = _held(process), cpu_seconds(process.pid)
        said.pause = options.pause
        held = asyncio.run(_callers(platform, said, process, 60 * minutes))
        spent = cpu_seconds(process.pid) - spent
        wait_for(lambda: _quiet(platform), seconds=30, what="nobody is inside")
        time.sleep(AFTER_SECONDS)
        ended = _held(process)
        bills = wait_for(lambda: _settled(platform, upstream), seconds=60, what="the ledger has read all")
    return _told(said, [begun, *held, ended], bills, minutes, spent)


async def _callers(platform: Platform, said: Said, process: psutil.Process, seconds: float) -> list[Held]:
    """Memory and sockets after each minute."""
    limits = httpx.Limits(max_connections=CALLERS * 2)
    async with httpx.AsyncClient(base_url=platform.data, timeout=30, limits=limits) as http:
        work = [asyncio.create_task(_caller(http, said, random.Random(n))) for n in range(CALLERS)]
        work.append(asyncio.create_task(_changes(platform, said)))
        await asyncio.sleep(WARM_SECONDS)
        held, ends = [_held(process)], time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            await asyncio.sleep(min(60.0, left))
            held.append(_held(process))
            say(f"  minute {len(held) - 1}: {held[-1]}; {sum(said.seen.values()):,} calls")
        said.stop = True
        await asyncio.gather(*work)
    return held


async def _caller(http: httpx.AsyncClient, said: Said, dice: random.Random) -> None:
    while not said.stop:
        await asyncio.sleep(2 * dice.random() * said.pause)
        kind = dice.choices(("whole", "stream", "left", "fault", "stranger"), (4, 4, 2, 2, 1))[0]
        model = {"fault": dice.choice(FAULTS), "left": "left"}.get(kind) or dice.choice(("chat", "chat", "fall"))
        stream = kind in ("stream", "left") or (kind == "fault" and dice.random() < 0.5)
        key = "hr-nobody" if kind == "stranger" else dice.choice(said.keys)
        path, headers = "/v1/chat/completions", {"authorization": f"Bearer {key}"}
        if model == "chat" and dice.random() < 0.3:
            path, headers = "/v1/messages", {"x-api-key": key, "anthropic-version": "2023-06-01"}
        body = QUESTION | {"model": model, "stream": stream}
        turn, words = said.turn, ""
        try:
            async with http.stream("POST", path, json=body, headers=headers) as answer:
                outcome, words = await _heard(answer, kind)
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        said.seen[f"{kind}: {outcome}"] += 1
        good = {"whole": "200", "stream": "200", "left": "hung up", "stranger": "401"}.get(kind)
        if outcome != good and (good is not None or outcome == "401"):
            which = said.keys.index(key) if key in said.keys else "of before"
            when = f"{time.monotonic() - said.began:.1f} s, key {which}, turns {turn} to {said.turn}"
            said.broken.append(f"{kind} {path} {model}: {outcome} at {when}: {words}")


async def _heard(answer: httpx.Response, kind: str) -> tuple[str, str]:
    """What came of it, and the beginning of what was said."""
    said = b""
    async for piece in answer.aiter_bytes():
        said = said or piece[:300]
        if kind == "left" and b"data:" in piece:
            return "hung up", ""
    return str(answer.status_code), said.decode(errors="replace")


async def _changes(platform: Platform, said: Said) -> None:
    """Keys are made, turned and revoked, and a limit changes, while all of that runs."""
    url, headers = f"{platform.control}/api/v1/gateway", {"content-type": "application/json"}

    async with httpx.AsyncClient(timeout=60, headers=headers) as http:

        async def done(method: str, path: str, **more: Any) -> Any:
            return (await http.request(method, url + path, **more)).raise_for_status().json()

        number = 0
        while not said.stop:
            number += 1
            turned = await done("POST", "/keys/second/rotate", json={"grace_seconds": 6 * CHANGE_SECONDS})
            said.late += not turned["in_force"]
            said.turn += 1
            said.keys = [*said.keys[:1], *said.keys[1:][-2:], turned["secret"]]  # at once, and two from before
            made = await done("POST", "/keys", json={"name": f"short-{number}"})
            await done("DELETE", f"/keys/{made['key']['id']}")
            wide = {"level": "key", "window": "day", "counted": "requests", "amount": 1e9 + number}
            await done("PUT", "", json={"gateway": {"limits": [wide]}})
            await asyncio.sleep(CHANGE_SECONDS)


def _configure(platform: Platform, upstream: Upstream) -> None:
    providers = [upstream.provider(name) for name in ("well", "left", *FAULTS)]
    prices = [PRICE | {"provider": provider["name"]} for provider in providers]
    _put(platform, {"providers": providers, "prices": prices})
    for name in ENDPOINTS:
        ways = {"chat": ["well"], "fall": ["cut", "well"]}.get(name, [name])
        upstreams = [{"provider": way, "model": "up", "tier": tier} for tier, way in enumerate(ways)]
        body = {"kind": "chat", "name": name, "ways": upstreams, "retries": {"attempts": 1, "base_ms": 0},
                "breaker": {"failures": 1_000_000}}  # fmt: skip
        url = f"{platform.control}/api/v1/endpoints/{name}/deploy"
        done = platform.http.post(url, json={"upstream": body})
        assert done.status_code < 300, done.text


def _put(platform: Platform, document: dict[str, Any]) -> None:
    done = platform.http.put(f"{platform.control}/api/v1/gateway", json={"gateway": document})
    assert done.status_code < 300, done.text


def _key(platform: Platform, name: str) -> str:
    made = platform.http.post(f"{platform.control}/api/v1/gateway/keys", json={"name": name})
    return str(made.json()["secret"])


def _usable(platform: Platform, said: Said) -> bool:
    url, body = f"{platform.data}/v1/chat/completions", QUESTION | {"model": "chat"}
    headers = ({"authorization": f"Bearer {key}"} for key in said.keys)
    return all(platform.http.post(url, json=body, headers=each).status_code == 200 for each in headers)


def _quiet(platform: Platform) -> bool:
    rows = platform.http.get(f"{platform.data}/health").json()["upstreams"]
    return not any(row["inside"] for row in rows)


def _held(process: psutil.Process) -> Held:
    return Held(round(rss_mb(process.pid), 1), len(process.net_connections("tcp")), process.num_fds())


@dataclass(frozen=True, slots=True)
class Bill:
    """What reached an upstream, and what the ledger has of it."""

    provider: str
    calls: int
    tokens: int  # produced
    late: int  # of these: after the gateway had closed the connection
    billed_calls: int
    billed_tokens: int
    cost: float

    @property
    def lost(self) -> int:
        return self.calls - self.billed_calls


def _settled(platform: Platform, upstream: Upstream) -> list[Bill] | None:
    """None while calls are missing. Calls that fell back from `cut` are in the ledger under who answered."""
    found = platform.http.get(f"{platform.control}/api/v1/gateway/spend", params={"by": "provider"}).json()["sums"]
    sums = {each["group"]["provider"]: each for each in found}
    bills = []
    for name in ("well", "left", *FAULTS):
        had = sums.get(name, {"calls": 0, "usage": {}, "cost": 0.0})
        tokens = had["usage"].get("output", 0)
        made, late = upstream.produced[name], upstream.late[name]
        bills.append(Bill(name, upstream.came[name], made, late, had["calls"], tokens, had["cost"]))
    fell = next(bill for bill in bills if bill.provider == "cut").lost
    say(f"  in the ledger: {[(bill.provider, bill.lost) for bill in bills]}")
    return bills if all(bill.lost == 0 for bill in bills if bill.provider != "cut") and fell >= 0 else None


def _told(said: Said, held: list[Held], bills: list[Bill], minutes: float, spent: float) -> list[str]:
    total = sum(said.seen.values())
    well = next(bill for bill in bills if bill.provider == "well")
    first, last = held[0], held[-1]
    return [
        (
            f"{CALLERS} callers for {minutes:g} minutes (after {WARM_SECONDS:g} s of the same), each with pauses of"
            f" {said.pause:g} s between its calls: whole answers, streams"
            f" of {len(WORDS)} tokens {1000 * PACE:g} ms apart, streams left after their first event, unknown keys, and"
            f" upstreams that fail in {len(FAULTS)} ways. Each {CHANGE_SECONDS:g} s a limit changed, a key was made and"
            f" revoked, and another was turned ({said.turn} times, {said.late} of them not in force when they were"
            f" answered) and used at once beside the two before it. {total:,} calls,"
            f" {1000 * spent / max(1, total):.2f} CPU-ms of the data plane for each."
        ),
        "",
        "| what a caller did: saw | calls |",
        "|---|--:|",
        *(f"| {name} | {count:,} |" for name, count in sorted(said.seen.items())),
        "",
        f"Calls that should have gone well and did not: {len(said.broken)}. {'; '.join(said.broken[:10])}".rstrip(),
        "",
        "| provider | calls it got | in the ledger | tokens it made | of these after we closed | tokens billed | USD |",
        "|---|--:|--:|--:|--:|--:|--:|",
        *(
            f"| {b.provider} | {b.calls:,} | {b.billed_calls:,} | {b.tokens:,} | {b.late:,} | {b.billed_tokens:,} |"
            f" {b.cost:.4f} |"
            for b in bills
        ),
        "",
        (
            f"Bills of `well` are exact when {well.billed_calls * ASKED * 1e-6 + well.tokens * 4e-6:.4f} USD was asked;"
            " calls to `cut` that fell back are in the ledger under `well`."
        ),
        "",
        (
            f"Data plane before and after: {first.sockets} and {last.sockets} sockets,"
            f" {first.files} and {last.files} open files."
        ),
        "Resident MB before, after the warm-up and each minute, and at the end: "
        + ", ".join(f"{each.rss_mb:.0f}" for each in held)
        + ".",
    ]
