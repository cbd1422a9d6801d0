"""A real data plane with a semantic cache: the real model, a real upstream, a hit that is checked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lm_server import fake_lm
from test_data_plane import RunningPlane

from bench.running import wait_for
from headrace.base.clock import SystemClock
from headrace.optimize.service import prepare_service
from headrace.release import change
from headrace.store import gateway
from headrace.types.endpoint import Variant
from headrace.types.gateway import Chat, ChatCache, Gateway, Provider, ProviderKind, Way
from headrace.types.model import ModelVersion

pytestmark = pytest.mark.process


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[RunningPlane]:
    made = RunningPlane(tmp_path / "home")
    try:
        yield made
    finally:
        made.close()


def test_a_question_in_other_words_is_answered_at_once_and_checked(plane: RunningPlane) -> None:
    version = ModelVersion(name="support", version=1, uri="service:/support/1")
    with fake_lm(lambda body: "Follow the link in the mail.") as lm:
        chat = Chat(ways=(Way(provider="lm", model="m"),), cache=ChatCache(ttl_seconds=60, semantic=0.9, check=1.0))
        package = prepare_service(
            chat, version, artifacts=plane.artifacts, work=plane.home, progress=lambda _: None, clock=SystemClock()
        )
        provider = Provider(name="lm", kind=ProviderKind.OPENAI, url=lm.url, private=True)
        with plane.database.write() as conn:
            gateway.put(conn, Gateway(providers=(provider,)), actor="test", reason="test", now=time.time())
        plane.publish(change.first("support", Variant(name="v1", model=version, package=package)))
        plane.start().live(1)
        found = []
        for question in ("How do I reset my password?", "How can I reset my password?", "How do I bake bread?"):
            body = {"model": "support", "messages": [{"role": "user", "content": question}]}
            answer = plane.http.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200, answer.text
            found.append(answer.headers.get("x-headrace-cache", ""))
        assert found == ["", "semantic", ""]

        def checked() -> bool:
            told = plane.http.get("/metrics?format=prometheus").text
            return 'headrace_cache_checks_total{endpoint="support",outcome="same"} 1' in told

        wait_for(checked, seconds=20, what="the check")
        assert len(lm.asked) == 3, "two questions of callers, and one of nobody"
        told = plane.http.get("/metrics?format=prometheus").text
        assert 'headrace_cache_false_hit_rate{endpoint="support",bound="estimate"} 0' in told
        assert 'headrace_cache_hits_total{endpoint="support",kind="semantic"} 1' in told
