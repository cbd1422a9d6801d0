"""The registry and the trace sink against a real MLflow, read back with the stock client."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import mlflow
import mlflow.sklearn
import pytest
from mlflow import MlflowClient
from mlflow.models import infer_signature
from mlflow_server import running_mlflow
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headrace.base.clock import ManualClock
from headrace.base.files import tree_sha256
from headrace.base.ids import TraceIds
from headrace.optimize.prepare import prepare
from headrace.store.artifacts import Artifacts
from headrace.store.dataset_sink import DatasetSink
from headrace.store.registry import SHA256_TAG, Registry
from headrace.store.traces import TraceSink
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName
from headrace.types.dataset import DataFile, DatasetVersion
from headrace.types.errors import ModelRefused, NotFound, UpstreamError
from headrace.types.gateway import Spent, Usage
from headrace.types.model import RuntimeKind, Stage
from headrace.types.traffic import Reason

pytestmark = pytest.mark.process
IDS = TraceIds(b"k" * 32)


@pytest.fixture(scope="session")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Under a prefix, as the supervisor runs it behind the control plane's proxy."""
    with running_mlflow(tmp_path_factory.mktemp("mlflow"), prefix="/mlflow") as found:
        yield found


@pytest.fixture(scope="session")
def registry(uri: str) -> Registry:
    return Registry(uri)


@pytest.fixture
def sink(uri: str) -> Iterator[TraceSink]:
    found = TraceSink(uri, "headrace/digits")
    yield found
    found.close()


@pytest.fixture(scope="session")
def digits(uri: str) -> str:
    """Three versions of one registered model, logged by the stock client."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("training")
    inputs, classes = load_digits(return_X_y=True)
    for rounds in (5, 50, 200):
        with warnings.catch_warnings(), mlflow.start_run():
            warnings.simplefilter("ignore")
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=rounds)).fit(inputs, classes)
            mlflow.log_input(mlflow.data.from_numpy(inputs, targets=classes, name="digits"), context="training")
            mlflow.log_param("rounds", rounds)
            mlflow.log_metric("accuracy", model.score(inputs, classes))
            mlflow.sklearn.log_model(
                model,
                name="model",
                registered_model_name="digits",
                signature=infer_signature(inputs, classes),
                input_example=inputs[:20],
                pip_requirements=["scikit-learn==1.9.1", "numpy"],
            )
    client = MlflowClient(uri)
    client.set_registered_model_alias("digits", "champion", "2")
    client.update_model_version("digits", "2", description="trained for longer")
    client.register_prompt("greeting", "Hello {{ name }}")
    return "digits"


def test_a_version_carries_what_was_recorded(registry: Registry, digits: str) -> None:
    version = registry.resolve("models:/digits@champion")
    assert (version.name, version.version, version.uri) == ("digits", 2, "models:/digits/2")
    assert version.flavor == "sklearn"
    assert version.aliases == ("champion",)
    assert version.description == "trained for longer"
    assert version.params == {"rounds": "50"}
    assert version.metrics is not None
    assert 0.9 < version.metrics["accuracy"] <= 1
    assert version.dataset.startswith("digits@")
    assert version.frameworks is not None
    assert version.frameworks["scikit-learn"] == "1.9.1"
    assert "python" in version.frameworks
    assert len(version.run_id) == 32
    assert abs(version.created - time.time()) < 600


def test_names_and_versions_are_listed_without_prompts(registry: Registry, digits: str) -> None:
    assert registry.names() == ("digits",)
    assert [version.version for version in registry.versions(digits)] == [1, 2, 3]
    assert registry.alive()


@pytest.mark.parametrize(
    ("uri_", "told"),
    [
        ("models:/nothing/1", "no model 'nothing' is registered; there is: digits"),
        ("models:/digits/9", "no version 9; there is: 1, 2, 3"),
        ("models:/digits@king", "no alias 'king'; there is: champion"),
        ("models:/digits/Archived", "no version in stage 'Archived'"),
    ],
)
def test_what_does_not_exist_lists_what_does(registry: Registry, digits: str, uri_: str, told: str) -> None:
    with pytest.raises(NotFound) as caught:
        registry.resolve(uri_)
    assert told in caught.value.message


def test_a_move_to_production_archives_the_one_it_replaces(registry: Registry, uri: str, digits: str) -> None:
    assert registry.set_stage(digits, 1, Stage.PRODUCTION).stage is Stage.PRODUCTION
    assert registry.resolve("models:/digits/production").version == 1
    registry.set_stage(digits, 3, Stage.STAGING)
    assert registry.set_stage(digits, 3, Stage.PRODUCTION).stage is Stage.PRODUCTION
    assert registry.resolve("models:/digits/PRODUCTION").version == 3
    stages = {int(v.version): v.current_stage for v in MlflowClient(uri).search_model_versions("name='digits'")}
    assert stages == {1: "Archived", 2: "None", 3: "Production"}
    with pytest.raises(NotFound, match="no version 7"):
        registry.set_stage(digits, 7, Stage.PRODUCTION)
    registry.set_stage(digits, 1, Stage.NONE)


def test_an_alias_moves(registry: Registry, uri: str, digits: str) -> None:
    registry.set_alias(digits, "rival", 1)
    registry.set_alias(digits, "rival", 3)
    assert registry.resolve("models:/digits@rival").version == 3
    MlflowClient(uri).delete_registered_model_alias(digits, "rival")


def test_the_first_hash_is_recorded_and_a_changed_artifact_is_refused(
    registry: Registry, uri: str, digits: str, tmp_path: Path
) -> None:
    version = registry.resolve("models:/digits/1")
    assert version.sha256 == ""
    artifact = registry.download(version, tmp_path / "one")
    recorded = registry.record_sha256(version)
    assert recorded.sha256 == tree_sha256(artifact)
    assert MlflowClient(uri).get_model_version(digits, "1").tags[SHA256_TAG] == recorded.sha256
    (artifact / "model.skops").write_bytes(b"another model")
    # Whoever comes later with a stale view of the version gets the first hash, not a new one.
    assert registry.record_sha256(version, artifact=artifact).sha256 == recorded.sha256
    with pytest.raises(ModelRefused, match=f"{recorded.sha256[:12]}… was recorded"):
        prepare(
            registry.resolve("models:/digits/1"),
            artifact,
            artifacts=Artifacts(tmp_path / "a"),
            rows=(),
            work=tmp_path / "w",
            progress=lambda text: None,
        )


def test_from_the_registry_to_a_package(registry: Registry, digits: str, tmp_path: Path) -> None:
    version = registry.record_sha256(registry.resolve("models:/digits@champion"))
    package = prepare(
        version,
        registry.download(version, tmp_path / "download"),
        artifacts=Artifacts(tmp_path / "artifacts"),
        rows=load_digits().data[:50].tolist(),
        work=tmp_path / "work",
        progress=lambda text: None,
        clock=ManualClock(),
    )
    assert package.runtime is RuntimeKind.ONNX
    assert package.source_sha256 == version.sha256
    assert package.parity is not None
    assert package.parity.rows == 70


def test_mlflow_away_is_an_upstream_error_at_once(tmp_path: Path) -> None:
    away = Registry("http://127.0.0.1:9")
    start = time.monotonic()
    assert not away.alive()
    for ask in (away.names, lambda: away.versions("digits"), lambda: away.resolve("models:/digits/1")):
        with pytest.raises(UpstreamError, match=r"MLflow at http://127\.0\.0\.1:9 could not"):
            ask()
    assert time.monotonic() - start < 10


def test_calls_become_traces_with_our_ids(uri: str, sink: TraceSink) -> None:
    calls = [call(number) for number in range(30)]
    assert sink.send(calls) == ()
    assert sink.send(calls[:10]) == ()  # again, as after a crash
    mlflow.set_tracking_uri(uri)
    experiment = mlflow.get_experiment_by_name("headrace/digits")
    assert experiment is not None

    def search(condition: str) -> list[Any]:
        return mlflow.search_traces(
            locations=[experiment.experiment_id], filter_string=condition, return_type="list", max_results=100
        )

    assert {trace.info.trace_id for trace in search("")} == {c.trace_id for c in calls}
    assert len(search("tags.variant = 'v2' AND tags.status = 'failed'")) == 5
    assert len(search("trace.status = 'ERROR'")) == 10
    trace = mlflow.get_trace(calls[1].trace_id)
    assert trace is not None
    [span] = trace.data.spans
    assert span.name == "digits"
    assert span.inputs == [[1.0, 0.5]]
    assert span.outputs == [1]
    assert trace.info.tags["endpoint"] == "digits"
    assert trace.info.tags["version"] == "2"
    assert trace.info.execution_duration in (12, 13)  # 12.4 ms between two whole milliseconds
    assert trace.info.trace_metadata["mlflow.trace.user"] == "unit-1"
    assert sink.has(calls[1].trace_id)
    assert not sink.has(IDS.mint(5.0))


def test_a_conversation_is_one_session_of_messages(uri: str) -> None:
    """As MLflow's own client reads it, and as its pages list sessions and sum up tokens and money."""
    said, answers = [{"role": "user", "content": "where?"}], ("there", "here")
    spent = Spent(usage=Usage(input=10, output=3), cost=0.25, provider="openai", model="gpt-5", conversation="c-1")
    turns = [
        replace(call(60 + n), protocol="openai.chat", status=CallStatus.OK, input=said, output=text, spent=spent)
        for n, text in enumerate(answers)
    ]
    with closing(TraceSink(uri, "headrace/assistant")) as sink:
        assert sink.send(turns) == ()
    mlflow.set_tracking_uri(uri)
    experiment = mlflow.get_experiment_by_name("headrace/assistant")
    assert experiment is not None
    session = mlflow.search_traces(
        locations=[experiment.experiment_id],
        filter_string="metadata.`mlflow.trace.session` = 'c-1'",
        return_type="list",
    )
    assert {trace.info.trace_id for trace in session} == {turn.trace_id for turn in turns}
    first = next(trace for trace in session if trace.info.trace_id == turns[0].trace_id)
    (span,) = first.data.spans
    assert span.span_type == "CHAT_MODEL"
    assert span.inputs == {"messages": said}
    assert span.outputs["choices"][0]["message"]["content"] == "there"
    assert first.info.token_usage == {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}
    assert first.info.trace_metadata["mlflow.trace.user"] == turns[0].unit
    assert json.loads(first.info.trace_metadata["mlflow.trace.cost"])["total_cost"] == 0.25, "ours, not a guess"
    assert first.info.request_preview == "where?"
    assert first.info.response_preview == "there"


def test_feedback_becomes_assessments_once_and_is_replaced(uri: str, sink: TraceSink) -> None:
    one = call(1)
    with pytest.raises(NotFound):
        sink.assess(feedback(one, FeedbackName.RATING, True))
    sink.send([one])
    for value, comment in ((False, "wrong"), (False, "wrong"), (True, "fine after all")):
        sink.assess(feedback(one, FeedbackName.RATING, value, comment=comment))
    for correction in (3, 3, 7):
        sink.assess(feedback(one, FeedbackName.CORRECTION, correction))
    sink.assess(feedback(one, FeedbackName.COMMENT, "schief geschrieben 七"))
    sink.assess(feedback(one, FeedbackName.RATING, False, rater="another"))
    mlflow.set_tracking_uri(uri)
    trace = mlflow.get_trace(one.trace_id)
    assert trace is not None
    found = {(a.name, a.source.source_id): a for a in trace.info.assessments}
    assert len(trace.info.assessments) == 4
    rating = found["user_rating", "someone"]
    assert (rating.value, rating.rationale, rating.source.source_type) == (True, "fine after all", "HUMAN")
    assert found["user_rating", "another"].value is False
    assert found["comment", "someone"].value == "schief geschrieben 七"
    correction = found["corrected_output", "someone"]
    assert isinstance(correction, mlflow.entities.Expectation)
    assert correction.value == 7
    experiment = mlflow.get_experiment_by_name("headrace/digits")
    assert experiment is not None
    for condition in ("expectation.corrected_output = '7'", "feedback.user_rating = 'true'"):
        hits = mlflow.search_traces(locations=[experiment.experiment_id], filter_string=condition, return_type="list")
        assert one.trace_id in [t.info.trace_id for t in hits]


def test_feedback_with_reasons_and_taken_back(uri: str, sink: TraceSink) -> None:
    one = call(4)
    sink.send([one])
    sink.assess(replace(feedback(one, FeedbackName.RATING, False), reasons=("unsafe", "slow")))
    sink.assess(feedback(one, FeedbackName.COMMENT, "hm"))
    mlflow.set_tracking_uri(uri)
    trace = mlflow.get_trace(one.trace_id)
    assert trace is not None
    told = {(a.name, a.rationale) for a in trace.info.assessments}
    assert told == {("user_rating", "unsafe; slow"), ("comment", None)}
    for _ in range(2):
        sink.assess(replace(feedback(one, FeedbackName.RATING, None), withdrawn=True))
    trace = mlflow.get_trace(one.trace_id)
    assert trace is not None
    assert [a.name for a in trace.info.assessments] == ["comment"]
    assert trace.info.tags["withdrawn.user_rating"] == "someone"
    sink.assess(feedback(one, FeedbackName.RATING, True))
    trace = mlflow.get_trace(one.trace_id)
    assert trace is not None
    assert {a.name for a in trace.info.assessments} == {"comment", "user_rating"}, "said anew"


@pytest.mark.parametrize("value", [["a", 1], {"class": "cat", "score": 0.5}, "cat", True, 2.5])
def test_corrections_of_any_shape_come_back_as_they_were(uri: str, sink: TraceSink, value: Any) -> None:
    mlflow.set_tracking_uri(uri)
    one = call(2)
    sink.send([one])
    sink.assess(feedback(one, FeedbackName.CORRECTION, value))
    sink.assess(feedback(one, FeedbackName.CORRECTION, value))
    trace = mlflow.get_trace(one.trace_id)
    assert trace is not None
    assert [a.value for a in trace.info.assessments] == [value]


def test_an_experiment_that_was_deleted_is_told(uri: str) -> None:
    with httpx.Client() as client:
        TraceSink(uri, "headrace/gone", client=client).send([call(3)])
        stock = MlflowClient(uri)
        experiment = stock.get_experiment_by_name("headrace/gone")
        assert experiment is not None
        stock.delete_experiment(experiment.experiment_id)
        with pytest.raises(UpstreamError, match="'headrace/gone' is deleted"):
            TraceSink(uri, "headrace/gone", client=client).send([call(3)])


def call(number: int) -> Call:
    failed = number % 3 == 0
    return Call(
        trace_id=IDS.mint(time.time()),
        time=time.time(),
        endpoint="digits",
        variant=f"v{2 if number % 2 else 1}",
        version=2 if number % 2 else 1,
        unit=f"unit-{number}",
        sticky=True,
        counted=True,
        reason=Reason.BUCKET,
        status=CallStatus.FAILED if failed else CallStatus.OK,
        error="the model raised" if failed else "",
        latency_ms=12.4,
        input=[[float(number), 0.5]],
        output=None if failed else [number],
    )


def feedback(on: Call, name: FeedbackName, value: Any, *, rater: str = "someone", comment: str = "") -> Feedback:
    return Feedback(
        id=f"fb_{on.trace_id}_{rater}_{name.value}",
        trace_id=on.trace_id,
        name=name.value,
        value=value,
        rater=rater,
        time=time.time(),
        comment=comment,
    )


def test_a_dataset_version_is_listed_once_with_our_hash(uri: str) -> None:
    version = DatasetVersion(
        id="ds_" + "ab" * 32,
        name="digits",
        number=3,
        created=1_700_000_000.0,
        files=(DataFile(path="train.jsonl", sha256="0" * 64, size=1, rows=9, split="train"),),
        columns={"inputs": "list[float]", "label": "int", "comment": "str"},
        rows=9,
        row_hash="f" * 64,
        parents=("ds_1",),
        query="model=digits",
    )
    sink = DatasetSink(uri)
    run_id = sink.list(version)
    assert sink.list(version) == run_id
    sink.close()
    run = MlflowClient(uri).get_run(run_id)
    (listed,) = run.inputs.dataset_inputs
    assert (listed.dataset.name, listed.dataset.digest) == ("digits", "ds_abababababab")
    assert {tag.key: tag.value for tag in listed.tags}["headrace.dataset"] == version.id
    assert (run.info.run_name, run.info.status, run.data.metrics["rows"]) == ("digits@3", "FINISHED", 9.0)
    experiment = MlflowClient(uri).get_experiment_by_name("headrace-datasets")
    assert experiment is not None
    assert len(mlflow.search_runs([experiment.experiment_id], "dataset.name = 'digits'", output_format="list")) == 1


def test_a_dataset_waits_for_mlflow() -> None:
    with pytest.raises(UpstreamError, match="does not answer"):
        DatasetSink("http://127.0.0.1:1").list(
            DatasetVersion(id="ds_1", name="x", created=1.0, files=(), columns={}, rows=0, row_hash="")
        )
