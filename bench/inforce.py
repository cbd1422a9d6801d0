"""How soon a change of the gateway is in force: from the moment it is asked for to the first call that shows it.

Called by `python -m bench inforce`. The change goes to the admin API, as `headrace apply -f` sends it; a caller asks
meanwhile as fast as one connection can, so that the resolution is a call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from bench.options import Options, say
from bench.running import Platform, wait_for
from bench.upstream import Upstream, running_upstream

ROUNDS = 10
BODY = {"model": "chat", "messages": [{"role": "user", "content": "What is a headrace?"}]}
WIDE = {"level": "endpoint", "who": "chat", "counted": "requests", "window": "month", "amount": 1e9}


def inforce(platform: Platform, _: Path, __: Options) -> list[str]:
    with running_upstream() as upstream:
        world = _World(platform, upstream)
        found = {
            "a key is revoked": [_timed(*world.revoked()) for _ in range(ROUNDS)],
            "a limit is lowered": [_timed(*world.limited()) for _ in range(ROUNDS)],
            "a price changes": [_timed(*world.priced(turn)) for turn in range(ROUNDS)],
            "a provider moves": [_timed(*world.moved()) for _ in range(ROUNDS)],
        }
    return [
        "From the request to the admin API to the first call that shows it.",
        "",
        "| change | rounds | median ms | longest ms |",
        "|---|--:|--:|--:|",
        *(f"| {name} | {len(ms)} | {median(ms):.0f} | {max(ms):.0f} |" for name, ms in found.items()),
    ]


Change = tuple[Callable[[], Any], Callable[[], bool]]  # what is asked for, and whether a call shows it


class _World:
    def __init__(self, platform: Platform, upstream: Upstream) -> None:
        self.platform, self.upstream = platform, upstream
        self.api = f"{platform.control}/api/v1"
        self.put({"providers": [upstream.provider("well")], "prices": []})
        way = {"kind": "chat", "name": "chat", "model": "well/up"}
        self._done("POST", "/endpoints/chat/deploy", json={"upstream": way})
        self.key = self.made("bench")

    def put(self, document: dict[str, Any]) -> None:
        self._done("PUT", "/gateway", json={"gateway": document})

    def made(self, name: str) -> str:
        key = str(self._done("POST", "/gateway/keys", json={"name": name})["secret"])
        wait_for(lambda: self.ask(key) == 200, seconds=10, what="a key in force")
        return key

    def ask(self, key: str) -> int:
        headers = {"authorization": f"Bearer {key}"}
        return self.platform.http.post(
            f"{self.platform.data}/v1/chat/completions", json=BODY, headers=headers
        ).status_code

    def revoked(self) -> Change:
        name = f"gone-{time.monotonic_ns()}"
        key = self.made(name)
        return lambda: self._done("DELETE", f"/gateway/keys/{name}"), lambda: self.ask(key) == 401

    def limited(self) -> Change:
        self._free()
        return lambda: self.put({"limits": [WIDE | {"amount": 1}]}), lambda: self.ask(self.key) == 429

    def priced(self, turn: int) -> Change:
        self._free()
        price = {"provider": "well", "model": "up", "input": 0.0, "output": 1000.0 * (turn + 1)}
        before = self._of_a_call()
        return lambda: self.put({"prices": [price]}), lambda: self._of_a_call() != before

    def moved(self) -> Change:
        self._free()
        document = {"providers": [self.upstream.provider("500") | {"name": "well"}]}
        return lambda: self.put(document), lambda: self.ask(self.key) == 500

    def _free(self) -> None:
        self.put({"limits": [], "providers": [self.upstream.provider("well")]})
        wait_for(lambda: self.ask(self.key) == 200, seconds=10, what="no limit")

    def _of_a_call(self) -> float:
        before = self._cost()
        self.ask(self.key)
        return round(self._cost() - before, 9)

    def _cost(self) -> float:
        metrics = self.platform.http.get(f"{self.platform.data}/metrics").json()["metrics"]
        return float(sum(m["value"] for m in metrics if m["name"] == "headrace_cost_usd_total"))

    def _done(self, method: str, path: str, **more: Any) -> Any:
        headers = {"content-type": "application/json"}
        response = self.platform.http.request(method, self.api + path, headers=headers, **more)
        assert response.status_code < 300, response.text
        return response.json()


def _timed(change: Callable[[], Any], shown: Callable[[], bool]) -> float:
    assert not shown(), "it is not in force yet"
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(change)
        while not shown():
            assert time.monotonic() - began < 60, f"a change that never comes: {asking.exception(0)!r}"
        took = 1000 * (time.monotonic() - began)
        asking.result()
    say(f"  {took:.0f} ms")
    return took
