"""A real platform with chat endpoints over stub upstreams: models, teams, keys, calls of now and of two months.

For the Chromium tests of the gateway, the costs and the playground, and for their pictures. Upstreams are OpenAI-
compatible servers in this process: `swift` and `sage` answer and stream, `moody` says 429 to everybody. What was called
before today is put into the ledger by the store's own functions.
"""

from __future__ import annotations

import json
import math
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

from bench.running import Platform, wait_for
from headrace.client.admin import Admin
from headrace.store import spend
from headrace.store.db import Database
from headrace.traffic.price import cost
from headrace.types.call import Call, CallStatus
from headrace.types.gateway import Price, Spent, Usage
from headrace.types.traffic import Reason

SWIFT, SAGE, MOODY = "swift", "sage", "moody"
LONG = "a-research-group-with-a-name-that-goes-on-and-on-and-on-until-it-ends"
DAY = 86_400.0
WORDS = {
    "gpt-5-mini": "Because short waves of light are scattered more than long ones.",
    "gpt-5": "Sunlight meets molecules of air. **Blue** is scattered most, so that it comes from all sides.",
    "house-7b": "The sky is blue because of the air.",
}
GATEWAY = """
providers:
  - {{name: swift, kind: openai, url: "http://127.0.0.1:{port}/v1", private: true, prices: openai}}
  - {{name: sage, kind: openai, url: "http://127.0.0.1:{port}/v1", private: true, prices: openai}}
  - {{name: moody, kind: openai, url: "http://127.0.0.1:{port}/moody/v1", private: true, prices: openai}}
  - {{name: gpu, kind: openai, url: "http://127.0.0.1:{port}/v1", private: true}}
keys:
  - {{name: helpdesk, team: support, scopes: [chat], expires: 2031-01-31}}
  - {{name: finder, team: search, user: ann@example.com, models: [assistant, "draft*"]}}
  - {{name: lab, team: {long}, workspace: research}}
people:
  - {{user: ann@example.com, team: search}}
limits:
  - {{level: all, counted: cost, amount: 400, window: month}}
  - {{level: team, who: support, counted: cost, amount: 90, window: month}}
  - {{level: key, counted: tokens, amount: 40000, window: day}}
  - {{level: key, counted: requests, amount: 60, window: minute}}
  - {{level: user, counted: requests, amount: 500, window: day, dry_run: true}}
  - {{level: endpoint, counted: concurrency, amount: 32}}
prices:
  - {{provider: swift, model: gpt-5-mini, input: 0.3, cache_read: 0.03, output: 2.4, since: 2026-10-01}}
"""
CHATS = {
    "assistant": {
        "prompt": "You are the assistant of a hardware shop. Be brief.",
        "ways": [
            {"provider": MOODY, "model": "gpt-5-nano", "weight": 1},
            {"provider": SWIFT, "model": "gpt-5-mini", "weight": 3},
            {"provider": SAGE, "model": "gpt-5", "tier": 1},
        ],
        "balance": "latency",
        "affinity": "user",
        "breaker": {"failures": 1, "cooldown_seconds": 600},
        "retries": {"attempts": 1},
        "guards": [{"kind": "pii", "settings": {"kinds": ["email", "card"], "answers": "restore"}}],
    },
    "draft-of-long-letters": {"ways": [{"provider": SAGE, "model": "gpt-5"}], "cache": {"ttl_seconds": 600}},
    "house": {"ways": [{"provider": "gpu", "model": "house-7b"}]},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """`keys`: their secrets by name. `trace`: of a call of `assistant`."""

    platform: Platform
    keys: dict[str, str]
    trace: str

    @property
    def url(self) -> str:
        return self.platform.control

    def say(self, key: str, model: str, question: str, **more: Any) -> httpx.Response:
        return _say(self.platform, self.keys[key], model, question, **more)


@contextmanager
def talking(home: Path, *, people: int = 12) -> Iterator[Talk]:
    """`people`: how many more keys there are."""
    with _upstreams() as port, Platform(home) as platform:
        with Admin(platform.control) as admin:
            sections = yaml.safe_load(GATEWAY.format(port=port, long=LONG))
            sections["keys"] += [{"name": f"app-{n:04}", "team": f"team {n % 40:02}"} for n in range(people)]
            made = admin.apply_gateway(_plain(sections), reason="providers, keys and limits")
            keys = {each["key"]["name"]: each["secret"] for each in made["keys"]}
            for name, chat in CHATS.items():
                admin.deploy(name, upstream={"kind": "chat", "name": name} | chat)
            _furnish(platform, {each["key"]["name"]: each["key"]["id"] for each in made["keys"]})
        first = _say(
            platform, keys["helpdesk"], "assistant", "Why is the sky blue, 0? Tell ann@example.com.", user="u0"
        )
        assert first.status_code == 200, first.text
        _until_left_alone(platform, keys["helpdesk"])
        _say(platform, keys["finder"], "draft-of-long-letters", "Write to my aunt.", stream=True)
        _say(platform, keys["lab"], "house", "Why is the sky blue?")
        trace = first.headers["x-headrace-trace"]
        wait_for(
            lambda: httpx.get(f"{platform.control}/api/v1/traces/{trace}").status_code == 200,
            seconds=30,
            what="its trace",
        )
        yield Talk(platform=platform, keys=keys, trace=trace)


def _say(
    platform: Platform, key: str, model: str, question: str, *, stream: bool = False, user: str = ""
) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": question}], "stream": stream}
    headers = {"authorization": f"Bearer {key}"} | ({"x-user-id": user} if user else {})
    return platform.http.post(f"{platform.data}/v1/chat/completions", json=body, headers=headers)


def _until_left_alone(platform: Platform, key: str) -> None:
    """Other users go other ways: sooner or later one is sent to `moody`, and from then on nobody."""
    for number in range(1, 200):
        _say(platform, key, "assistant", "Why is the sky blue?", user=f"u{number}")
        with Admin(platform.control) as admin:
            if any(row["left_alone"] for row in admin.upstreams()):
                return
    raise AssertionError("nobody was sent to moody")


def _plain(content: Any) -> Any:
    return json.loads(json.dumps(content, default=str))


def _furnish(platform: Platform, ids: dict[str, str]) -> None:
    """Two months of calls: more by the week, fewer on Sundays, one team that began late."""
    rng, now = random.Random(5), datetime.now(UTC).timestamp()
    calls: list[Call] = []
    for back in range(1, 61):
        day = now // DAY * DAY - back * DAY + 9 * 3600
        busy = (1.6 - back / 60) * (0.35 if datetime.fromtimestamp(day, UTC).weekday() >= 5 else 1.0)
        for name, team, model, weight in (
            ("helpdesk", "support", "gpt-5-mini", 1.0),
            ("helpdesk", "support", "gpt-5", 0.5),
            ("finder", "search", "gpt-5-mini", 0.6),
            ("lab", LONG, "house-7b", 0.8 if back < 25 else 0.0),
            *((f"app-{n:04}", f"team {n:02}", "gpt-5-mini", 0.3 / (n + 1)) for n in range(8)),
        ):
            if not weight:
                continue
            thousands = busy * weight * rng.uniform(0.7, 1.3) * 260
            usage = Usage(
                input=int(700 * thousands), cache_read=int(900 * thousands), cache_write=int(60 * thousands),
                output=int(180 * thousands), reasoning=int(90 * thousands) if model == "gpt-5" else 0,
            )  # fmt: skip
            some = max(int(busy * weight * 12), 1)
            share = Usage(**{each.name: getattr(usage, each.name) // some for each in fields(Usage)})
            calls += [_call(day, len(calls) + n, ids.get(name, name), team, model, share) for n in range(some)]
    with Database(f"sqlite:///{platform.home}/headrace.db").write() as conn:
        spend.add(conn, calls)


LISTED = {
    "gpt-5-mini": Price(provider=SWIFT, model="gpt-5-mini", input=0.3, cache_read=0.03, cache_write=0.3, output=2.4),
    "gpt-5": Price(
        provider=SAGE, model="gpt-5", input=1.25, cache_read=0.125, cache_write=1.25, output=10, reasoning=10
    ),
}
PLACES = {"gpt-5-mini": (SWIFT, "assistant"), "gpt-5": (SAGE, "draft-of-long-letters"), "house-7b": ("gpu", "house")}


def _call(at: float, number: int, key: str, team: str, model: str, usage: Usage) -> Call:
    provider, endpoint = PLACES[model]
    spent = Spent(
        usage=usage, cost=cost(usage, LISTED.get(model)), provider=provider, model=model, key=key, team=team,
        user=f"{number % 7:016x}",
    )  # fmt: skip
    return Call(
        trace_id=f"tr-{int(at * 1000):012x}{number:020x}", time=at, endpoint=endpoint, variant="v1000001", version=1,
        unit="u", sticky=True, counted=True, reason=Reason.BUCKET, status=CallStatus.OK, latency_ms=800.0, spent=spent,
    )  # fmt: skip


class _Upstream(BaseHTTPRequestHandler):
    """OpenAI's chat completions, whole and streamed; below /moody nobody is answered."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.startswith("/moody"):
            self._answer(429, {"error": {"message": "slow down", "type": "rate_limit_error"}})
        elif asked.get("stream"):
            self._stream(asked)
        else:
            message = {"role": "assistant", "content": WORDS[asked["model"]]}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._answer(200, _head(asked, "chat.completion") | {"choices": [choice], "usage": _usage(asked)})

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, asked: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for word in WORDS[asked["model"]].split(" "):
            self._event(asked, choices=[{"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}])
        self._event(asked, choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
        if (asked.get("stream_options") or {}).get("include_usage"):
            self._event(asked, choices=[], usage=_usage(asked))
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _event(self, asked: dict[str, Any], **content: Any) -> None:
        event = json.dumps(_head(asked, "chat.completion.chunk") | content)
        self.wfile.write(f"data: {event}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Nothing is logged."""


def _head(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": asked["model"]}


def _usage(asked: dict[str, Any]) -> dict[str, Any]:
    read = math.ceil(sum(len(str(message["content"])) for message in asked["messages"]) / 4)
    written = len(WORDS[asked["model"]].split(" "))
    details = {"prompt_tokens_details": {"cached_tokens": read // 2}}
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written} | details


@contextmanager
def _upstreams() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Upstream)
    thread = threading.Thread(target=server.serve_forever, name="upstreams")
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
