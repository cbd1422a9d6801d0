"""How the sink behaves when MLflow refuses, is away, or has another database; the real MLflow is in integration."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headrace.base.ids import TraceIds
from headrace.store.traces import BATCH, TraceSink
from headrace.types.call import Call, CallStatus, Feedback
from headrace.types.errors import NotFound, UpstreamError
from headrace.types.traffic import Reason

IDS = TraceIds(b"k" * 32)


def call(**changes: Any) -> Call:
    fields: dict[str, Any] = {
        "trace_id": IDS.mint(1000.0),
        "time": 1000.0,
        "endpoint": "digits",
        "variant": "v1",
        "version": 1,
        "unit": "u1",
        "sticky": True,
        "counted": True,
        "reason": Reason.BUCKET,
        "status": CallStatus.OK,
        "latency_ms": 2.5,
        "input": [[1.5, 2]],
        "output": [7],
    }
    return Call(**fields | changes)


class FakeMlflow:
    """Answers as MLflow 3.17 does, by path; `posted` are the trace ids of each OTLP request."""

    def __init__(self) -> None:
        self.posted: list[list[str]] = []
        self.spans: list[Any] = []
        self.refused: set[str] = set()
        self.experiments: dict[str, str] = {}
        self.otlp_status = 200
        self.lifecycle = "active"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/get-by-name"):
            name = request.url.params["experiment_name"]
            if name not in self.experiments:
                return httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"})
            found = {"experiment_id": self.experiments[name], "lifecycle_stage": self.lifecycle}
            return httpx.Response(200, json={"experiment": found})
        if path.endswith("/create"):
            name = json.loads(request.content)["name"]
            self.experiments[name] = str(len(self.experiments) + 1)
            return httpx.Response(200, json={"experiment_id": self.experiments[name]})
        assert path == "/v1/traces"
        assert request.headers["x-mlflow-experiment-id"] in self.experiments.values()
        parsed = ExportTraceServiceRequest.FromString(request.content)
        spans = parsed.resource_spans[0].scope_spans[0].spans
        ids = ["tr-" + span.trace_id.hex() for span in spans]
        self.posted.append(ids)
        if self.refused & set(ids):
            return httpx.Response(422, json={"detail": "Cannot convert"})
        self.spans += spans
        return httpx.Response(self.otlp_status, json={"message": "busy"})


@pytest.fixture
def mlflow() -> FakeMlflow:
    return FakeMlflow()


def sink(answer: Callable[[httpx.Request], httpx.Response]) -> TraceSink:
    return TraceSink("http://mlflow/", "headrace", client=httpx.Client(transport=httpx.MockTransport(answer)))


def test_a_trace_has_our_id_and_the_same_span_id_each_time(mlflow: FakeMlflow) -> None:
    one = call()
    sender = sink(mlflow)
    assert sender.send([one]) == ()
    assert sender.send([one]) == ()
    first, second = mlflow.spans
    assert "tr-" + first.trace_id.hex() == one.trace_id
    assert first == second
    assert (first.start_time_unix_nano, first.end_time_unix_nano) == (1_000_000_000_000, 1_000_002_500_000)
    attributes = {a.key: a.value for a in first.attributes}
    assert attributes["mlflow.spanInputs"].string_value == "[[1.5,2]]"
    assert attributes["mlflow.traceTag.variant"].string_value == "v1"
    assert attributes["headrace.counted"].bool_value is True
    assert first.status.code == 1


def test_an_error_and_a_call_without_capture(mlflow: FakeMlflow) -> None:
    sink(mlflow).send([call(status=CallStatus.FAILED, error="boom", input=None, output=None, sticky=False)])
    [span] = mlflow.spans
    assert (span.status.code, span.status.message) == (2, "boom")
    keys = {a.key for a in span.attributes}
    assert keys.isdisjoint({"mlflow.spanInputs", "mlflow.spanOutputs", "user.id"})


def test_many_calls_go_in_batches_and_the_experiment_is_made_once(mlflow: FakeMlflow) -> None:
    sink(mlflow).send([call() for _ in range(BATCH + 3)])
    assert [len(ids) for ids in mlflow.posted] == [BATCH, 3]
    assert mlflow.experiments == {"headrace": "1"}


def test_one_trace_that_is_refused_for_good_does_not_hold_up_the_others(mlflow: FakeMlflow) -> None:
    calls = [call() for _ in range(20)]
    mlflow.refused = {calls[3].trace_id, calls[17].trace_id}
    assert sink(mlflow).send(calls) == (calls[3].trace_id, calls[17].trace_id)
    stored = {"tr-" + span.trace_id.hex() for span in mlflow.spans}
    assert stored == {c.trace_id for c in calls} - mlflow.refused
    assert len(mlflow.posted) <= 2 * 2 * 6


@pytest.mark.parametrize("status", [500, 503, 429, 404])
def test_a_refusal_for_now_is_an_upstream_error(mlflow: FakeMlflow, status: int) -> None:
    mlflow.otlp_status = status
    with pytest.raises(UpstreamError, match=f"status {status}, busy"):
        sink(mlflow).send([call()])


def test_another_database_gets_its_own_experiment(mlflow: FakeMlflow) -> None:
    sender = sink(mlflow)
    sender.send([call()])
    mlflow.otlp_status = 404
    with pytest.raises(UpstreamError):
        sender.send([call()])
    mlflow.otlp_status, mlflow.experiments = 200, {"other": "8"}
    sender.send([call()])
    assert mlflow.experiments == {"other": "8", "headrace": "2"}


def test_a_deleted_experiment_is_told(mlflow: FakeMlflow) -> None:
    mlflow.experiments, mlflow.lifecycle = {"headrace": "1"}, "deleted"
    with pytest.raises(UpstreamError, match="'headrace' is deleted") as caught:
        sink(mlflow).send([call()])
    assert "restore it" in (caught.value.hint or "")


def test_no_answer_is_an_upstream_error() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    sender = sink(away)
    feedback = Feedback(id="fb_1", trace_id=call().trace_id, name="comment", value="x", rater="r", time=1.0)
    for act in (lambda: sender.send([call()]), lambda: sender.assess(feedback), lambda: sender.has("tr-1")):
        with pytest.raises(UpstreamError, match="does not answer"):
            act()


def test_feedback_for_a_trace_that_is_not_there() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Trace not found"})

    feedback = Feedback(id="fb_1", trace_id=call().trace_id, name="comment", value="x", rater="r", time=1.0)
    with pytest.raises(NotFound, match="Trace not found"):
        sink(answer).assess(feedback)
    assert sink(answer).has(call().trace_id) is False


def test_a_404_that_is_not_about_the_trace_is_an_upstream_error() -> None:
    with pytest.raises(UpstreamError, match="status 404"):
        sink(lambda request: httpx.Response(404, text="<html>no such page</html>")).has(call().trace_id)
