"""A data plane as a process, with chat endpoints over golden upstreams of every kind, and one over a real model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import pytest
from golden_llm import Golden, golden_upstream

from headrace.gateway.board import FILE
from headrace.optimize.service import SPOKEN
from headrace.store import gateway as gateway_rows
from headrace.types.endpoint import Endpoint, Limits, Task, Variant
from headrace.types.gateway import Chat, Gateway, Provider, ProviderKind, Retries, Way
from headrace.types.model import ModelVersion, Package, RuntimeKind
from headrace.types.traffic import TrafficPolicy
from tests.integration.test_data_plane import RunningPlane
from tests.llm import Llm

KINDS = {"openai": ProviderKind.OPENAI, "claude": ProviderKind.ANTHROPIC, "gemini": ProviderKind.GEMINI}
# Each has upstreams of its own, since they are left alone after it: for one client, and for another.
TROUBLES = ("400", "401", "429", "500", "break", "m400", "m401", "m429", "m500", "mbreak")
NAMES = ("real", *KINDS, *(f"{kind}-{trouble}" for kind in KINDS for trouble in TROUBLES))


@dataclass
class LlmPlane:
    """`upstream`: of every endpoint but `real`; they are named after the kind of their provider, and the trouble that
    they get."""

    url: str
    upstream: Golden
    endpoints: tuple[str, ...] = field(default=NAMES)


@pytest.fixture(scope="session")
def llm_plane(tmp_path_factory: pytest.TempPathFactory, llm: Llm) -> Iterator[LlmPlane]:
    home = tmp_path_factory.mktemp("llm") / "home"
    running = RunningPlane(home)
    with golden_upstream() as upstream:
        try:
            with running.database.write() as conn:
                real = Provider(name="real", kind=ProviderKind.OPENAI, url=llm.url, private=True)
                golden = (_provider(name, kind, upstream) for name, kind in KINDS.items())
                made = Gateway(providers=(real, *golden))
                gateway_rows.put(conn, made, actor="test", reason="golden", now=time.time())
            revision = running.publish(*(_endpoint(running, name, llm.model) for name in NAMES))
            running.start().live(revision)
            yield LlmPlane(running.url, upstream)
        finally:
            running.close()


def _provider(name: str, kind: ProviderKind, upstream: Golden) -> Provider:
    return Provider(name=name, kind=kind, url=f"{upstream.url}/v1", private=True)


def _endpoint(running: RunningPlane, name: str, local: str) -> Endpoint:
    kind, _, trouble = name.partition("-")
    model = local if kind == "real" else f"up{trouble}"
    chat = Chat(ways=(Way(provider=kind, model=model),), retries=Retries(attempts=1))
    folder = running.home / f"chat-{name}"
    folder.mkdir()
    (folder / FILE).write_bytes(msgspec.json.encode(chat))
    draft = Package(
        id="", model=name, version=1, source_sha256="", runtime=RuntimeKind.CHAT, signature=SPOKEN, files=()
    )
    package = running.artifacts.add(folder, draft)
    model = ModelVersion(name=name, version=1, uri=f"service:/{name}/1")
    return Endpoint(
        name=name,
        model=name,
        variants=(Variant(name="v1", model=model, package=package),),
        policy=TrafficPolicy(baseline="v1", candidate="", share=0, salt="s"),
        selectors={},
        task=Task.CHAT,
        limits=Limits(timeout_ms=20_000),
    )
