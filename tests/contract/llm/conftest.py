"""A data plane as a process, with chat endpoints over golden upstreams of every kind, and one over a real model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from chat_plane import ONCE, chat_endpoint, publish_chats
from golden_llm import Golden, golden_upstream

from headrace.types.endpoint import Endpoint
from headrace.types.gateway import Chat, Gateway, Provider, ProviderKind, Way
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
            real = Provider(name="real", kind=ProviderKind.OPENAI, url=llm.url, private=True)
            golden = (_provider(name, kind, upstream) for name, kind in KINDS.items())
            endpoints = [_endpoint(running, name, llm.model) for name in NAMES]
            revision = publish_chats(running.database, endpoints, Gateway(providers=(real, *golden)))
            running.start().live(revision)
            yield LlmPlane(running.url, upstream)
        finally:
            running.close()


def _provider(name: str, kind: ProviderKind, upstream: Golden) -> Provider:
    return Provider(name=name, kind=kind, url=f"{upstream.url}/v1", private=True)


def _endpoint(running: RunningPlane, name: str, local: str) -> Endpoint:
    kind, _, trouble = name.partition("-")
    model = local if kind == "real" else f"up{trouble}"
    chat = Chat(ways=(Way(provider=kind, model=model),), retries=ONCE)
    return chat_endpoint(running.artifacts, running.home, name, chat)
