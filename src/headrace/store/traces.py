"""Calls and feedback, as MLflow's traces and assessments.

Called by monitor.mirror, in a thread, with calls from the journal. Decides how a call looks in MLflow's trace UI and in
`mlflow.search_traces`. Ignores which calls are worth it, and keeps nothing: what raises is the caller's to send again.
Sending again is harmless: span ids follow from trace ids, and an assessment is looked up before it is written.

Speaks MLflow's public HTTP interface (OTLP and REST), so it does not import mlflow. One span per call, since three cost
MLflow twice as much; a program's has its steps nested in it. What language models are told of in is genai.py's.

corrected_output is an *expectation*, the ground truth of that input: MLflow's evaluation datasets and judges
(`{{ expectations }}`) take it from there. user_rating and comment are *feedback*.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import httpx
import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from headrace.base.ids import TRACE_PREFIX, caller_of
from headrace.base.log import fields
from headrace.store import genai
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName
from headrace.types.errors import NotFound, UpstreamError
from headrace.types.gateway import Attempt
from headrace.types.step import Step, StepKind

BATCH = 250  # calls in one request: cheap per call from 100 on, and small enough to be refused cheaply
EXPERIMENT_HEADER = "x-mlflow-experiment-id"
ID_KEY = "headrace.feedback_id"
WITHDRAWN = "withdrawn."  # and the name, is the tag of a trace of which something was taken back
ABSENT = "RESOURCE_DOES_NOT_EXIST"  # MLflow's word; any other 404 is not about the trace
ATTEMPTS = 1 << 24  # where their places begin, behind those of steps
# What no later attempt will change: the request itself is refused.
POISON = frozenset({400, 413, 422})
log = logging.getLogger("headrace.store.traces")


class TraceSink:
    def __init__(self, uri: str, experiment: str, *, client: httpx.Client | None = None) -> None:
        self.uri = uri.rstrip("/")
        self.experiment = experiment
        self._client = client or httpx.Client(timeout=30.0)
        self._experiment_id = ""

    def send(self, calls: Sequence[Call]) -> tuple[str, ...]:
        """Store them as traces with our ids. Answers with the trace ids that MLflow will never take (logged too).

        Raises UpstreamError when MLflow could not take them now; then all may be sent again.
        """
        refused: list[str] = []
        for start in range(0, len(calls), BATCH):
            refused += self._send_batch(calls[start : start + BATCH])
        return tuple(refused)

    def assess(self, feedback: Feedback) -> None:
        """Hang it on its trace, in place of what hangs there from before. Raises NotFound without the trace.

        What was taken back goes, so that no search counts it, and a tag of the trace says that something was said.
        """
        there = self._assessments(feedback.trace_id)
        path = f"/api/3.0/mlflow/traces/{feedback.trace_id}/assessments"
        old = next((a for a in there if a.get("metadata", {}).get(ID_KEY) == feedback.id), None)
        if feedback.withdrawn:
            self._tag(feedback.trace_id, f"{WITHDRAWN}{feedback.name}", feedback.rater)
            if old is not None:
                self._ask("DELETE", f"{path}/{old['assessment_id']}")
            return
        body = _assessment(feedback)
        if old is None:
            self._ask("POST", path, json={"assessment": body})
            return
        changed = [key for key in ("feedback", "expectation", "rationale") if _told(body, key) != _told(old, key)]
        if changed:
            update = {key: body.get(key, "") for key in changed} | {"trace_id": feedback.trace_id}
            path = f"{path}/{old['assessment_id']}"
            self._ask("PATCH", path, json={"assessment": update, "update_mask": ",".join(changed)})

    def _tag(self, trace_id: str, key: str, value: str) -> None:
        self._ask("PATCH", f"/api/2.0/mlflow/traces/{trace_id}/tags", json={"key": key, "value": value})

    def has(self, trace_id: str) -> bool:
        try:
            self._assessments(trace_id)
        except NotFound:
            return False
        return True

    def page(self, trace_id: str) -> str:
        """Where MLflow's UI shows it, below MLflow's root."""
        return f"/#/experiments/{self._experiment()}/traces?selectedEvaluationId={trace_id}"

    def close(self) -> None:
        self._client.close()

    def _send_batch(self, calls: Sequence[Call]) -> list[str]:
        """MLflow takes all of a request or nothing: halve it until the one that it refuses stands alone."""
        response = self._post_spans(calls)
        if response.status_code == httpx.codes.NOT_FOUND:
            self._experiment_id = ""  # deleted, or another database: it is made again the next time
        if response.status_code not in POISON:
            self._check(response, "take traces")
            return []
        if len(calls) > 1:
            middle = len(calls) // 2
            return self._send_batch(calls[:middle]) + self._send_batch(calls[middle:])
        log.warning(
            "MLflow refuses a trace for good", extra=fields(trace_id=calls[0].trace_id, answer=response.text[:300])
        )
        return [calls[0].trace_id]

    def _post_spans(self, calls: Sequence[Call]) -> httpx.Response:
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add(schema_url=genai.SCHEMA)
        for call in calls:
            scope.spans.extend(_spans(call))
        headers = {"content-type": "application/x-protobuf", EXPERIMENT_HEADER: self._experiment()}
        return self._request("POST", "/v1/traces", content=request.SerializeToString(), headers=headers)

    def _experiment(self) -> str:
        if not self._experiment_id:
            path = "/api/2.0/mlflow/experiments"
            found = self._request("GET", f"{path}/get-by-name", params={"experiment_name": self.experiment})
            if found.status_code == httpx.codes.NOT_FOUND:
                created = self._request("POST", f"{path}/create", json={"name": self.experiment})
                if created.status_code == httpx.codes.OK:
                    self._experiment_id = str(created.json()["experiment_id"])
                    return self._experiment_id
                found = self._request("GET", f"{path}/get-by-name", params={"experiment_name": self.experiment})
            experiment = self._check(found, f"look up the experiment {self.experiment!r}")["experiment"]
            if experiment.get("lifecycle_stage") == "deleted":
                raise UpstreamError(
                    f"the MLflow experiment {self.experiment!r} is deleted",
                    hint="restore it in MLflow, or delete it permanently; traces wait until then",
                )
            self._experiment_id = str(experiment["experiment_id"])
        return self._experiment_id

    def _assessments(self, trace_id: str) -> list[dict[str, Any]]:
        trace = self._ask("GET", f"/api/3.0/mlflow/traces/{trace_id}")["trace"]
        return list(trace["trace_info"].get("assessments", ()))

    def _ask(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        response = self._request(method, path, **content)
        if response.status_code == httpx.codes.NOT_FOUND and ABSENT in response.text:
            raise NotFound(f"MLflow has no such trace: {_reason(response)}", field="trace_id")
        return self._check(response, f"answer {method} {path}")

    def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._client.request(method, self.uri + path, **content)
        except httpx.HTTPError as error:
            raise UpstreamError(f"MLflow at {self.uri} does not answer: {error!r}", retry_after=5.0) from error

    def _check(self, response: httpx.Response, what: str) -> dict[str, Any]:
        if response.status_code != httpx.codes.OK:
            raise UpstreamError(
                f"MLflow at {self.uri} could not {what}: status {response.status_code}, {_reason(response)}",
                retry_after=5.0,
            )
        return dict(response.json()) if response.headers.get("content-type", "").startswith("application/json") else {}


def _spans(call: Call) -> list[Span]:
    """The call, the upstreams that it took where that was more than one, and what a program did for it."""
    trace_id = bytes.fromhex(call.trace_id.removeprefix(TRACE_PREFIX))
    start = int(call.time * 1e9)
    ok = call.status is CallStatus.OK
    root = Span(
        trace_id=trace_id,
        span_id=trace_id[-8:],  # counter and signature: unique, and the same when it is sent again
        name=call.endpoint,
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=start,
        end_time_unix_nano=start + int(call.latency_ms * 1e6),
        status=Status(code=Status.STATUS_CODE_OK if ok else Status.STATUS_CODE_ERROR, message=call.error),
    )
    asker, span = caller_of(call.parent)
    if asker:  # a trace of its own, as people rate it by itself
        root.links.add(trace_id=bytes.fromhex(asker.removeprefix(TRACE_PREFIX)), span_id=bytes.fromhex(span))
    _describe(root, _attributes(call))
    steps, tried = (call.spent.steps, call.spent.tried) if call.spent else ((), ())
    asked = (_asked(root, place, attempt, call.protocol) for place, attempt in enumerate(tried))
    return [root, *asked, *(_nested(root, place, step) for place, step in enumerate(steps))]


def _asked(root: Span, place: int, attempt: Attempt, protocol: str) -> Span:
    start = root.start_time_unix_nano + int(attempt.at_ms * 1e6)
    name, attributes = genai.of_attempt(attempt, place, protocol)
    code = Status.STATUS_CODE_OK if attempt.outcome == "ok" else Status.STATUS_CODE_ERROR
    span = Span(
        trace_id=root.trace_id,
        span_id=_span_id(root, ATTEMPTS + place),
        parent_span_id=root.span_id,
        name=name,
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=start,
        end_time_unix_nano=start + int(attempt.ms * 1e6),
        status=Status(code=code, message=attempt.error or ("" if attempt.outcome == "ok" else attempt.outcome)),
    )
    _describe(span, attributes)
    return span


def _nested(root: Span, place: int, step: Step) -> Span:
    start = root.start_time_unix_nano + int(step.at_ms * 1e6)
    name, attributes = genai.of_step(step)
    span = Span(
        trace_id=root.trace_id,
        span_id=bytes.fromhex(step.span) if step.span else _span_id(root, place),
        parent_span_id=root.span_id if step.within < 0 else _span_id(root, step.within),
        name=name,
        kind=Span.SPAN_KIND_CLIENT if step.kind is StepKind.LM else Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=start,
        end_time_unix_nano=start + int(step.ms * 1e6),
        status=Status(code=Status.STATUS_CODE_ERROR if step.error else Status.STATUS_CODE_OK, message=step.error),
    )
    _describe(span, attributes)
    return span


def _span_id(root: Span, place: int) -> bytes:
    """The same when it is sent again."""
    return blake2b(root.trace_id + place.to_bytes(4), digest_size=8).digest()


def _describe(span: Span, attributes: genai.Attributes) -> None:
    for key, value in attributes.items():
        told = span.attributes.add(key=key).value
        if isinstance(value, bool):
            told.bool_value = value
        elif isinstance(value, int):
            told.int_value = value
        elif isinstance(value, float):
            told.double_value = value
        elif isinstance(value, str):
            told.string_value = value
        else:
            told.array_value.values.extend(AnyValue(string_value=each) for each in value)


def _attributes(call: Call) -> genai.Attributes:
    """MLflow reads inputs and outputs as JSON text; a trace tag can be searched: `tags.variant = 'v3'`."""
    found: genai.Attributes = {
        genai.TYPE: "UNKNOWN",
        "mlflow.traceTag.endpoint": call.endpoint,
        "mlflow.traceTag.variant": call.variant,
        "mlflow.traceTag.version": str(call.version),
        "mlflow.traceTag.status": call.status.value,
        "headrace.reason": call.reason.value,
        "headrace.revision": call.revision,
        "headrace.protocol": call.protocol,
        "headrace.rows": call.rows,
        "headrace.run_ms": call.run_ms,
        "headrace.counted": call.counted,
    }
    if call.input is not None:
        found[genai.INPUTS] = msgspec.json.encode(call.input).decode()
    if call.output is not None:
        found[genai.OUTPUTS] = msgspec.json.encode(call.output).decode()
    if call.sticky:
        found[genai.USER] = call.unit
    if call.shadow_of:
        found["mlflow.traceTag.shadow_of"] = call.shadow_of
    if asker := caller_of(call.parent)[0]:
        found["mlflow.traceTag.parent"] = asker
    return found | genai.of_call(call)


def _assessment(feedback: Feedback) -> dict[str, Any]:
    body: dict[str, Any] = {
        "assessment_name": feedback.name,
        "trace_id": feedback.trace_id,
        "source": {"source_type": feedback.source.upper(), "source_id": feedback.rater},
        "metadata": {ID_KEY: feedback.id},
    }
    if feedback.name == FeedbackName.CORRECTION:
        body["expectation"] = _expectation(feedback.value)
    else:
        body["feedback"] = {"value": feedback.value}
    if why := "; ".join((*feedback.reasons, *([feedback.comment] if feedback.comment else ()))):
        body["rationale"] = why
    return body


def _expectation(value: Any) -> dict[str, Any]:
    """Plain where MLflow keeps the value as it is. A plain 7 would be stored and searched as 7.0: it goes as JSON."""
    if isinstance(value, bool | str):
        return {"value": value}
    return {
        "serialized_value": {"serialization_format": "JSON_FORMAT", "value": msgspec.json.encode(value).decode()},
    }


def _told(assessment: dict[str, Any], key: str) -> Any:
    """What an assessment says under `key`, in whichever of its two forms the value is."""
    part = assessment.get(key)
    if not isinstance(part, dict):
        return part
    return msgspec.json.decode(part["serialized_value"]["value"]) if "serialized_value" in part else part.get("value")


def _reason(response: httpx.Response) -> str:
    """MLflow's own words; any other body in short."""
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:300]
