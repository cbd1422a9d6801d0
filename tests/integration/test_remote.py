"""A data plane whose model is on another one: V2 over a real wire, while that one comes and goes."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from plane_samples import endpoint, spec
from test_data_plane import ROW, RunningPlane

from headrace.base.clock import SystemClock
from headrace.optimize.service import prepare_service
from headrace.release.adapters import read_adapter
from headrace.release.services import read_url
from headrace.types.adapter import Adapter
from headrace.types.call import Call
from headrace.types.model import Datatype, Layout, ModelVersion, RuntimeKind, Signature
from headrace.types.traffic import Reason, TrafficPolicy

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


TABLE = Signature(
    inputs=(spec("a"), spec("b"), spec("note", Datatype.BYTES)),
    outputs=(spec("answer", Datatype.BYTES),),
    layout=Layout.COLUMNS,
)
STEPS = read_adapter(
    {
        "inputs": [{"compute": {"input": "row(a, 0, b)"}}, {"drop": ["a", "b", "note"]}],
        "outputs": [{"compute": {"answer": "choose(label, 'no', 'yes')"}}, {"drop": ["label", "scores"]}],
    }
)


def test_a_colour_and_an_adapter_on_the_way_to_another_plane(planes: tuple[RunningPlane, RunningPlane]) -> None:
    """Callers of the near plane send a table; the far one gets tensors, and what was decided on the way."""
    far, near = planes
    policy = TrafficPolicy(baseline="v1", candidate="v2", share=0, salt="rel_1")
    far.publish(endpoint(far.v1, far.v2, policy=policy))
    far.start().live(1)
    version = ModelVersion(name="front", version=7, uri=f"{far.url}/v2/models/toy")
    package = prepare_service(
        read_url(f"{far.url}/v2/models/toy").what,
        version,
        artifacts=near.artifacts,
        work=near.home,
        progress=logging.getLogger(__name__).info,
        clock=SystemClock(),
    )
    made = endpoint(package, name="front", policy=TrafficPolicy(baseline="v7"))
    adapter = Adapter(outer=TABLE, inputs=STEPS.inputs, outputs=STEPS.outputs)
    near.publish(replace(made, variants=tuple(replace(v, adapter=adapter) for v in made.variants)))
    near.start().live(1)

    body = {"model": "front", "inputs": [{"a": 1, "b": 2, "note": "x"}, {"a": 3, "b": 0, "note": "y"}]}
    plain = near.http.post("/predict", json=body)
    assert plain.json()["result"] == ["yes", "no"]
    assert "x-headrace-colour" not in plain.headers
    described = near.http.get("/v2/models/front").json()
    assert [tensor["name"] for tensor in described["inputs"]] == ["a", "b", "note"]

    headers = {"x-headrace-colour": "toy=v2", "baggage": "tenant=acme"}
    coloured = near.http.post("/predict", json=body, headers=headers)
    assert coloured.json()["result"] == ["yes", "no"]
    assert coloured.headers["x-headrace-colour"] == "toy=v2,front=v7"
    wrong = near.http.post("/predict", json={"model": "front", "inputs": [{"a": 1, "b": 2}]})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (400, "inputs[0].note")
    for plane in planes:
        plane.kill(signal.SIGTERM)
    calls = [record for record in far.records() if isinstance(record, Call)]
    assert [(call.variant, call.reason) for call in calls] == [("v1", Reason.BUCKET), ("v2", Reason.COLOUR)]
    assert calls[1].colour == "front=v7,toy=v2"
    assert calls[1].input == [[1.0, 0.0, 2.0], [3.0, 0.0, 0.0]]
