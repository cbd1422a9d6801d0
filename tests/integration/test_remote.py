"""A data plane whose model is on another one: V2 over a real wire, while that one comes and goes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from plane_samples import endpoint
from test_data_plane import ROW, RunningPlane

from headrace.base.clock import SystemClock
from headrace.optimize.service import prepare_service
from headrace.release.services import read_url
from headrace.types.model import ModelVersion, RuntimeKind
from headrace.types.traffic import TrafficPolicy

pytestmark = pytest.mark.process
TENSOR = {"name": "input", "shape": [2, 3], "datatype": "FP64", "data": [*ROW, 3.0, 0.0, 0.0]}


@pytest.fixture
def planes(tmp_path: Path) -> Iterator[tuple[RunningPlane, RunningPlane]]:
    made = (RunningPlane(tmp_path / "far"), RunningPlane(tmp_path / "near"))
    try:
        yield made
    finally:
        for plane in made:
            plane.close()


def test_its_answers_pass_through_and_its_absence_is_told(planes: tuple[RunningPlane, RunningPlane]) -> None:
    far, near = planes
    far.publish(endpoint(far.v1))
    far.start().live(1)
    service = read_url(f"{far.url}/v2/models/toy")
    version = ModelVersion(name="toy", version=7, uri=f"{far.url}/v2/models/toy")
    package = prepare_service(
        service.what,
        version,
        artifacts=near.artifacts,
        work=near.home,
        progress=logging.getLogger(__name__).info,
        clock=SystemClock(),
    )
    assert package.runtime is RuntimeKind.REMOTE
    assert package.signature == replace(far.v1.signature, layout=package.signature.layout)
    near.publish(endpoint(package, policy=TrafficPolicy(baseline="v7")))
    near.start().live(1)

    assert near.predict().json()["result"] == [1]
    infer = near.http.post("/v2/models/toy/infer", json={"inputs": [TENSOR]}).json()
    assert [output["data"] for output in infer["outputs"]] == [[1, 0], [1.0, 2.0, 3.0, 0.0]]

    far.kill()
    far.listener.close()  # nobody at all is there
    gone = near.predict()
    assert gone.status_code == 502
    assert "cannot be reached" in gone.text or "closed the connection" in gone.text
    near.kill()
    near.reconnect()
    near.start().live(1)  # it starts, and keeps its plan, while the other is away
    assert near.predict().status_code == 502
