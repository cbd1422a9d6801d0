"""A real data plane that copies its calls: over HTTP in, through the journal out, and compared as the engine does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from plane_samples import endpoint
from test_data_plane import ROW, RunningPlane

from bench.running import wait_for
from headrace.release.pairs import Known, Pairs
from headrace.store.journal.reader import Reader
from headrace.types.call import Call
from headrace.types.pair import PairRules
from headrace.types.release import Member
from headrace.types.traffic import Shadow, TrafficPolicy

pytestmark = pytest.mark.process
SHADOW = Shadow(variant="v2", attributes=("x-tenant",))


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[RunningPlane]:
    made = RunningPlane(tmp_path / "home")
    try:
        yield made
    finally:
        made.close()


def test_every_call_is_copied_and_the_copies_are_compared(plane: RunningPlane) -> None:
    plane.publish(endpoint(plane.v1, plane.v2, policy=TrafficPolicy(baseline="v1", shadow=SHADOW)))
    plane.start().live(1)
    tensor = {"name": "input", "shape": [1, 3], "datatype": "FP64", "data": ROW}
    for number in range(20):
        answer = plane.http.post(
            "/predict",
            json={"model": "toy", "inputs": [ROW], "user": f"u{number}"},
            headers={"x-tenant": "a"},
        )
        assert answer.json()["model_version"] == 1
        assert plane.http.post("/v2/models/toy/infer", json={"inputs": [tensor]}).status_code == 200

    records: list[object] = []
    reader = Reader(plane.home / "journal")

    def copied() -> bool:
        records.extend(reader.read())
        return sum(isinstance(one, Call) and bool(one.shadow_of) for one in records) == 40

    wait_for(copied, seconds=20, what="copies in the journal")
    watching = Pairs(
        Member(endpoint="toy", baseline="v1", candidate="v2", candidate_uri="models:/toy/2"),
        SHADOW,
        PairRules(),
        specs=plane.v1.signature.outputs,
        known=Known(),
        find=lambda trace_id: None,
    )
    watching.observe(records)
    closed = watching.close()
    assert (closed.tally.pairs, closed.tally.flips, closed.tally.unequal) == (40, 0, 0)
    assert (closed.tally.tested, closed.tally.lost, closed.tally.candidate_errors) == (40, 0, 0)
    assert sum(pair.segment == {"x-tenant": "a"} for pair in closed.kept) == 20
    told = plane.http.get("/metrics?format=prometheus").text
    assert 'headrace_shadow_total{endpoint="toy",variant="v2",outcome="ok"} 40' in told
    assert 'headrace_calls_total{endpoint="toy",variant="v1",status="ok"} 40' in told
    assert 'variant="v2",status' not in told
