"""Chat endpoints on a data plane as a process, over the upstream that fails in every way (bench/upstream.py)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.gateway.board import FILE
from headrace.optimize.service import SPOKEN
from headrace.store import gateway as gateway_rows
from headrace.store import plans
from headrace.store.artifacts import Artifacts
from headrace.store.db import Database
from headrace.types.call import Call
from headrace.types.endpoint import Endpoint, Limits, Task, Variant
from headrace.types.gateway import Chat, Gateway, Retries, Spent, Way
from headrace.types.model import ModelVersion, Package, RuntimeKind
from headrace.types.traffic import TrafficPolicy

QUICK = {"connect_seconds": 1.0, "first_byte_seconds": 0.4, "idle_seconds": 0.4}  # of a provider
ONCE = Retries(attempts=1)
ASK = {"messages": [{"role": "user", "content": "What is a headrace?"}], "max_tokens": 50}


def chat_endpoint(artifacts: Artifacts, home: Path, name: str, chat: Chat, *, timeout_ms: int = 20_000) -> Endpoint:
    """One version, live."""
    folder = home / f"chat-{name}"
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(msgspec.json.encode(chat))
    draft = Package(
        id="", model=name, version=1, source_sha256="", runtime=RuntimeKind.CHAT, signature=SPOKEN, files=()
    )
    package = artifacts.add(folder, draft)
    model = ModelVersion(name=name, version=1, uri=f"service:/{name}/1")
    return Endpoint(
        name=name,
        model=name,
        variants=(Variant(name="v1", model=model, package=package),),
        policy=TrafficPolicy(baseline="v1", candidate="", share=0, salt="s"),
        selectors={},
        task=Task.CHAT,
        limits=Limits(timeout_ms=timeout_ms),
    )


def over(*providers: str, **more: Any) -> Chat:
    """The first one answers; each of the others when all before it have failed."""
    ways = tuple(Way(provider=name, model="up", tier=tier) for tier, name in enumerate(providers))
    return Chat(ways=ways, **{"retries": ONCE, **more})


def publish_chats(database: Database, endpoints: Sequence[Endpoint], gateway: Gateway) -> int:
    """The revision."""
    with database.write() as conn:
        gateway_rows.put(conn, gateway, actor="test", reason="test", now=time.time())
        return plans.publish(conn, endpoints, reason="test", now=time.time()).revision


def spent_of(call: Call) -> Spent:
    assert call.spent is not None
    return call.spent
