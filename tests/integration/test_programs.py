"""A program from a file to traffic on a whole platform: compiled, registered, deployed, swapped under load. No key of
its language model is anywhere on disk afterwards."""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from anthropic import Anthropic
from lm_server import FakeLM, fake_lm
from mlflow import MlflowClient
from openai import APIStatusError, BadRequestError, OpenAI
from openai.types.chat import ChatCompletionMessageParam

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow.pyfunc

from bench.running import Platform, wait_for

pytestmark = pytest.mark.process
TICKET = {
    "name": "ticket",
    "lm": "fast",
    "instructions": "Say which team answers this mail.",
    "inputs": [{"name": "text", "description": "the mail"}],
    "outputs": [{"name": "team", "choices": ["billing", "technical"]}],
}
ROWS = [
    {"text": f"mail {n} about {'money' if n % 2 else 'a crash'}", "team": "billing" if n % 2 else "technical"}
    for n in range(40)
]


def learns(body: dict[str, Any]) -> str:
    """Right once it was shown examples."""
    shown, crash = len(body["messages"]) > 2, "crash" in str(body["messages"][-1]["content"])
    return json.dumps({"team": "technical" if shown and crash else "billing"})


LM_KEY, CANARY = "UPSTREAM_TEST_LM_KEY", "canary-4f1b90c7-of-a-language-model"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Of its own: nothing else may write what is looked for at the end."""
    os.environ[LM_KEY] = CANARY
    with Platform(tmp_path_factory.mktemp("platform") / "home") as running:
        yield running


@pytest.fixture(scope="module")
def lm(platform: Platform) -> Iterator[FakeLM]:
    with fake_lm(learns) as found:
        aliases = {"fast": {"url": found.url, "model": "m", "key_env": LM_KEY, "price": {"input": 1, "output": 2}}}
        (platform.home / "lms.yaml").write_text(json.dumps(aliases))
        yield found


@pytest.fixture(scope="module")
def compiled(platform: Platform, lm: FakeLM, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("ticket")
    (folder / "ticket.json").write_text(json.dumps(TICKET))
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    options = ["--data", str(folder / "rows.jsonl"), "--optimizer", "LabeledFewShot", "--set", "demos=3"]
    told = json.loads(platform.run("compile", str(folder / "ticket.json"), *options, "--json").stdout)
    again = json.loads(
        platform.run(
            "compile", str(folder / "ticket.json"), *options, "--seed", "1", "--against", "models:/ticket/1", "--json"
        ).stdout
    )
    assert (told["version"], again["version"]) == (1, 2)
    platform.run("deploy", "models:/ticket/1", "--endpoint", "ticket")
    return told


def test_it_is_measured_and_in_mlflow(compiled: dict[str, Any], platform: Platform) -> None:
    assert compiled["compiled"]["after"]["mean"] == 1.0 > compiled["compiled"]["before"]["mean"]
    client = MlflowClient(f"{platform.control}/mlflow")
    version = client.get_model_version("ticket", "2")
    run = client.get_run(version.run_id)
    assert version.tags["headrace.parent"] == "models:/ticket/1"
    assert run.data.params["optimizer"] == "LabeledFewShot"
    assert run.data.params["settings.demos"] == "3"
    assert run.data.metrics["after"] == 1.0
    assert run.data.metrics["lm_calls"] > 0
    assert run.inputs.dataset_inputs[0].dataset.name == "rows.jsonl"


def test_a_stock_mlflow_loads_it(compiled: dict[str, Any], platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(platform.home))
    mlflow.set_tracking_uri(f"{platform.control}/mlflow")  # another file's would count before the environment's
    model = mlflow.pyfunc.load_model("models:/ticket/1")
    found = model.predict(pd.DataFrame({"text": ["a crash", "money"]}))
    assert found == [{"team": "technical"}, {"team": "billing"}]


def test_it_answers_like_any_model(compiled: dict[str, Any], platform: Platform, lm: FakeLM) -> None:
    with httpx.Client(base_url=platform.data, timeout=30) as http:
        inputs = [{"text": "a crash"}, {"text": "money"}]
        answer = http.post("/predict", json={"model": "ticket", "inputs": inputs}).json()
        assert answer["result"] == ["technical", "billing"]
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a crash"]}
        infer = http.post("/v2/models/ticket/infer", json={"inputs": [tensor]}).json()
        assert infer["outputs"][0] == {"name": "team", "datatype": "BYTES", "shape": [1], "data": ["technical"]}
        described = http.get("/v2/models/ticket").json()
        assert described["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert len(lm.asked[-1]["messages"]) == 2 + 2 * 3  # it shows its three examples


def test_it_is_a_chat_model_too(compiled: dict[str, Any], platform: Platform, lm: FakeLM) -> None:
    """As OpenAI's and Anthropic's own clients see it."""
    said: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "a crash"},
    ]
    with OpenAI(base_url=f"{platform.data}/v1", api_key="unused") as client:
        assert "ticket" in [model.id for model in client.models.list()]
        whole = client.chat.completions.with_raw_response.create(model="ticket", messages=said, user="ada")
        answer = whole.parse()
        assert answer.choices[0].message.content == "technical"
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 5)
        stream = client.chat.completions.create(
            model="ticket", messages=said, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "technical"
        assert chunks[-1].usage is not None
        tool: Any = {"type": "function", "function": {"name": "f", "parameters": {}}}
        with pytest.raises(BadRequestError, match="answers with text alone") as caught:
            client.chat.completions.create(model="ticket", messages=said, tools=[tool])
        assert (caught.value.type, caught.value.param) == ("invalid_request_error", "tools")
    with Anthropic(base_url=platform.data, api_key="unused") as anthropic:
        message = anthropic.messages.create(
            model="ticket", max_tokens=50, messages=[{"role": "user", "content": "a crash"}]
        )
        assert [block.text for block in message.content if block.type == "text"] == ["technical"]
    trace = whole.headers["x-headrace-trace"]
    call = platform.http.get(f"{platform.control}/api/v1/traces/{trace}").json()["call"]
    assert (call["input"], call["output"]) == ({"text": "a crash"}, ["technical"])
    correction = {"trace_id": trace, "user_rating": "down", "corrected_output": ["billing"]}
    assert platform.http.post(f"{platform.data}/feedback", json=correction).status_code == 200


def test_its_trace_shows_what_it_asked_within_what(compiled: dict[str, Any], platform: Platform, lm: FakeLM) -> None:
    """In MLflow, as its own client reads it."""
    asked = {"model": "ticket", "messages": [{"role": "user", "content": "a crash"}]}
    headers = {"x-headrace-chat-id": "conversation-7"}
    answer = platform.http.post(f"{platform.data}/v1/chat/completions", json=asked, headers=headers)
    trace_id = answer.headers["x-headrace-trace"]
    url = f"{platform.control}/mlflow/api/3.0/mlflow/traces/{trace_id}"
    wait_for(lambda: platform.http.get(url).status_code == 200, seconds=60, what="the trace in MLflow")
    trace = MlflowClient(f"{platform.control}/mlflow").get_trace(trace_id)
    assert trace.info.trace_metadata["mlflow.trace.session"] == "conversation-7"
    assert trace.info.token_usage == {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}, "told once"
    root, question = trace.data.spans
    assert (root.name, root.span_type, root.parent_id) == ("ticket", "CHAIN", None)
    assert (root.inputs, root.outputs) == ({"text": "a crash"}, ["technical"])
    assert (question.name, question.span_type, question.parent_id) == ("chat fast", "CHAT_MODEL", root.span_id)
    assert question.inputs["messages"][-1]["role"] == "user"
    assert json.loads(question.outputs["choices"][0]["message"]["content"]) == {"team": "technical"}
    assert root.start_time_ns <= question.start_time_ns <= question.end_time_ns <= root.end_time_ns + 1_000_000


@pytest.fixture(scope="module")
def house(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A program whose alias nobody named: it is asked of this platform's own gateway."""
    with fake_lm(lambda body: json.dumps({"reasoning": "it says so", **json.loads(learns(body))})) as far:
        provider = {"name": "far", "kind": "openai", "url": far.url, "private": True}
        price = {"provider": "far", "model": "m", "input": 1.0, "output": 2.0}
        gateway = {"gateway": {"providers": [provider], "prices": [price]}}
        platform.http.put(f"{platform.control}/api/v1/gateway", json=gateway).raise_for_status()
        chat = {"upstream": {"kind": "chat", "name": "house", "model": "far/m", "retries": {"attempts": 1}}}
        platform.http.post(f"{platform.control}/api/v1/endpoints/house/deploy", json=chat).raise_for_status()
        folder = tmp_path_factory.mktemp("mails")
        program = TICKET | {"name": "mails", "lm": "house", "kind": "ChainOfThought"}
        (folder / "mails.json").write_text(json.dumps(program))
        (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
        rows = ["--data", str(folder / "rows.jsonl"), "--optimizer", "LabeledFewShot"]
        platform.run("compile", str(folder / "mails.json"), *rows)
        platform.run("deploy", "models:/mails/1", "--endpoint", "mails")
        yield "mails"


def test_a_question_through_our_own_gateway_names_who_asked(house: str, platform: Platform) -> None:
    """Its line has the bill, and says whose question it was; also when the program is asked as a chat model."""
    said = [{"role": "user", "content": "a crash"}]
    answers = [
        platform.http.post(f"{platform.data}/predict", json={"model": house, "inputs": {"text": "a crash"}}),
        platform.http.post(f"{platform.data}/v1/chat/completions", json={"model": house, "messages": said}),
    ]
    for answer in answers:
        asker = answer.headers["x-headrace-trace"]
        told = wait_for(lambda: _asked(platform, asker), seconds=20, what="both lines")  # noqa: B023
        steps, [line] = told["call"]["spent"]["steps"], told["asked"]
        [question] = [step for step in steps if step["kind"] == "lm"]
        assert (line["endpoint"], line["status"]) == ("house", "ok")
        assert line["parent"] == f"00-{asker.removeprefix('tr-')}-{question['span']}-01"
        assert line["spent"]["cost"] == pytest.approx(10 * 1e-6 + 5 * 2e-6)
        assert told["call"]["spent"]["cost"] == 0, "it is billed once"
        assert steps[question["within"]]["kind"] == "module", "within a part of the program"
    trace_id = line["trace_id"]
    url = f"{platform.control}/mlflow/api/3.0/mlflow/traces/{trace_id}"
    wait_for(lambda: platform.http.get(url).status_code == 200, seconds=60, what="the question in MLflow")
    client = MlflowClient(f"{platform.control}/mlflow")
    assert client.get_trace(trace_id).info.tags["parent"] == asker
    assert question["span"] in {span.span_id for span in client.get_trace(asker).data.spans}


def _asked(platform: Platform, trace_id: str) -> dict[str, Any] | None:
    found = platform.http.get(f"{platform.control}/api/v1/traces/{trace_id}")
    return found.json() if found.status_code == 200 and found.json()["asked"] else None


def test_a_language_model_that_fails_is_an_error_of_the_upstream(
    compiled: dict[str, Any], platform: Platform, lm: FakeLM
) -> None:
    lm.reply = lambda body: 400
    try:
        with OpenAI(base_url=f"{platform.data}/v1", api_key="unused", max_retries=0) as client:
            for stream in (False, True):
                with pytest.raises(APIStatusError, match="status 400") as caught:
                    client.chat.completions.create(
                        model="ticket", messages=[{"role": "user", "content": "x"}], stream=stream
                    )
                assert caught.value.status_code == 502
    finally:
        lm.reply = learns


def test_a_swap_under_load_fails_no_call(compiled: dict[str, Any], platform: Platform) -> None:
    ended, statuses, versions = threading.Event(), list[int](), set[int]()

    def call() -> None:
        with httpx.Client(base_url=platform.data, timeout=60) as http:
            while not ended.is_set():
                response = http.post("/predict", json={"model": "ticket", "inputs": {"text": "a crash"}})
                statuses.append(response.status_code)
                versions.add(response.json().get("model_version", 0))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for version in (2, 1, 2):
            platform.run("deploy", f"models:/ticket/{version}", "--endpoint", "ticket")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}
    assert versions == {1, 2}


def test_no_key_and_no_address_is_kept_anywhere(compiled: dict[str, Any], platform: Platform, lm: FakeLM) -> None:
    """In no artifact, package, log, database or journal; the address only in the file that names the alias."""
    assert {headers["authorization"] for headers in lm.headers} == {f"Bearer {CANARY}"}
    kept = {file: file.read_bytes() for file in platform.home.rglob("*") if file.is_file()}
    assert not [file for file, content in kept.items() if CANARY.encode() in content]
    told = [file.relative_to(platform.home) for file, content in kept.items() if lm.url.encode() in content]
    assert told == [Path("lms.yaml")]
    programs = [file.parent for file in kept if file.name == "program.json"]
    assert programs
    assert not [f for folder in programs for f in folder.rglob("*") if f.is_file() and f.suffix not in (".json", ".py")]
