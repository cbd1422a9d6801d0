"""A real data plane that copies calls to a chat model: two upstreams, streams and wholes, compared as ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lm_server import fake_lm
from test_data_plane import RunningPlane

from bench.running import wait_for
from headrace.base.clock import SystemClock
from headrace.optimize.service import prepare_service
from headrace.release import change
from headrace.release.pairs import Known, Pairs
from headrace.release.spoken import ANSWER, as_texts
from headrace.store import gateway
from headrace.store.journal.reader import Reader
from headrace.types.call import Call
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.gateway import Chat, Gateway, Provider, ProviderKind, Way
from headrace.types.model import ModelVersion
from headrace.types.pair import PairRules
from headrace.types.release import Member
from headrace.types.traffic import Shadow

pytestmark = pytest.mark.process


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[RunningPlane]:
    made = RunningPlane(tmp_path / "home")
    try:
        yield made
    finally:
        made.close()


def variant(plane: RunningPlane, number: int, provider: str) -> Variant:
    version = ModelVersion(name="assistant", version=number, uri=f"service:/assistant/{number}")
    chat = Chat(ways=(Way(provider=provider, model="m"),), prompt=f"Prompt {number}.")
    package = prepare_service(
        chat, version, artifacts=plane.artifacts, work=plane.home, progress=lambda _: None, clock=SystemClock()
    )
    return Variant(name=f"v{number}", model=version, package=package)


def endpoint(plane: RunningPlane) -> Endpoint:
    candidate = variant(plane, 2, "second")
    made = change.with_candidate(change.first("assistant", variant(plane, 1, "first")), candidate, salt="rel_1")
    return change.with_shadow(made, Shadow(variant="v2", max_concurrency=4))


def test_every_answer_is_compared_with_what_the_candidate_says(plane: RunningPlane) -> None:
    with fake_lm(lambda body: f"It is {first.question(body)}.") as first, fake_lm(_second) as second:
        providers = tuple(
            Provider(name=name, kind=ProviderKind.OPENAI, url=lm.url, private=True)
            for name, lm in (("first", first), ("second", second))
        )
        with plane.database.write() as conn:
            gateway.put(conn, Gateway(providers=providers), actor="test", reason="test", now=time.time())
        plane.publish(endpoint(plane))
        plane.start().live(1)
        for number in range(12):
            asked = [{"role": "user", "content": str(number)}]
            body = {"model": "assistant", "messages": asked, "user": f"u{number}", "stream": number % 2 == 0}
            answer = plane.http.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200
            assert answer.headers["x-headrace-variant"] == "v1"
        records: list[object] = []
        reader = Reader(plane.home / "journal")

        def copied() -> bool:
            records.extend(reader.read())
            return sum(isinstance(one, Call) and bool(one.shadow_of) for one in records) == 12

        wait_for(copied, seconds=20, what="copies in the journal")
        assert {body["messages"][0]["content"] for body in second.asked} == {"Prompt 2."}
    watching = Pairs(
        Member(endpoint="assistant", baseline="v1", candidate="v2", candidate_uri="service:/assistant/2"),
        Shadow(variant="v2"),
        as_texts(PairRules(), (ANSWER,)),
        specs=(ANSWER,),
        known=Known(),
        find=lambda trace_id: None,
    )
    watching.observe(records)
    told = watching.close().tally
    assert (told.pairs, told.flips, told.tested, told.differing, told.lost) == (12, 3, 12, 3, 0)
    metrics = plane.http.get("/metrics?format=prometheus").text
    assert 'headrace_shadow_total{endpoint="assistant",variant="v2",outcome="ok"} 12' in metrics
    assert 'headrace_calls_total{endpoint="assistant",variant="v1",status="ok"} 12' in metrics
    assert 'headrace_own_calls_total{what="shadow",endpoint="assistant",outcome="ok"} 12' in metrics


def _second(body: dict[str, Any]) -> str:
    """Another answer to every fourth question."""
    said = str(body["messages"][-1]["content"])
    return "I cannot tell." if int(said) % 4 == 0 else f"It is {said}."
