"""Anthropic's own client in Python, which refuses answers that are not of its form, over upstreams of every kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import anthropic
import httpx
import jsonschema_rs
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from golden_llm import (
    CALLS,
    COUNTED,
    GENERATED,
    GENERATED_STREAM,
    MESSAGE,
    MESSAGE_STREAM,
    MESSAGE_TOOLS_STREAM,
    TEXT,
)
from pydantic import TypeAdapter

from headrace.gateway.sse import Frames
from tests.contract.llm.conftest import KINDS, LlmPlane

pytestmark = pytest.mark.process
ASKED: Any = [{"role": "user", "content": "Where are you?"}]
TOOLS: Any = [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]
WANTED = [(name, json.loads(arguments)) for name, arguments in CALLS]


@pytest.fixture(scope="module")
def client(llm_plane: LlmPlane) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=llm_plane.url, api_key="any", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def calls_of(message: Message) -> list[Any]:
    return [(block.id, block.input) for block in message.content if block.type == "tool_use"]


def test_messages(client: anthropic.Anthropic, model: str) -> None:
    answer = client.messages.create(model=model, max_tokens=50, messages=ASKED)
    assert [block.text for block in answer.content if block.type == "text"] == [TEXT]
    assert answer.stop_reason == "end_turn"
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (12, 8, 12)


def test_messages_streamed(client: anthropic.Anthropic, model: str) -> None:
    with client.messages.stream(model=model, max_tokens=50, messages=ASKED) as stream:
        assert "".join(stream.text_stream) == TEXT
        answer = stream.get_final_message()
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens == 12


def test_a_real_model_that_speaks_otherwise(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="real", max_tokens=12, messages=ASKED) as stream:
        said = "".join(stream.text_stream)
        answer = stream.get_final_message()
    assert said.strip()
    assert answer.stop_reason in ("max_tokens", "end_turn")
    assert answer.usage.input_tokens > 0
    assert 0 < answer.usage.output_tokens <= 12


def test_parallel_tools(client: anthropic.Anthropic, model: str) -> None:
    answer = client.messages.create(model=model, max_tokens=50, messages=ASKED, tools=TOOLS)
    assert answer.stop_reason == "tool_use"
    assert calls_of(answer) == WANTED


def test_parallel_tools_streamed(client: anthropic.Anthropic, model: str) -> None:
    with client.messages.stream(model=model, max_tokens=50, messages=ASKED, tools=TOOLS) as stream:
        answer = stream.get_final_message()
    assert answer.stop_reason == "tool_use"
    assert calls_of(answer) == WANTED


def test_a_conversation_with_a_tool(client: anthropic.Anthropic, llm_plane: LlmPlane, model: str) -> None:
    first = client.messages.create(model=model, max_tokens=50, messages=ASKED, tools=TOOLS)
    results = [{"type": "tool_result", "tool_use_id": name, "content": "18"} for name, _ in CALLS]
    turns: Any = [*ASKED, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    client.messages.create(model=model, max_tokens=50, messages=turns)
    sent = json.dumps(llm_plane.upstream.last())
    assert "Oslo" in sent
    assert "18" in sent


def test_tokens_are_counted(client: anthropic.Anthropic, model: str) -> None:
    counted = client.messages.count_tokens(model=model, messages=ASKED).input_tokens
    assert counted == 42 if model == "claude" else 0 < counted < 20


def test_models(client: anthropic.Anthropic, llm_plane: LlmPlane) -> None:
    assert {model.id for model in client.models.list()} == set(llm_plane.endpoints)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
    ],
)
def test_errors(client: anthropic.Anthropic, status: int, kind: type[anthropic.APIStatusError]) -> None:
    """One upstream a status: after it, it is left alone. The same form and two others take their turns."""
    model = f"{dict(zip((400, 429, 500), ('claude', 'gemini', 'claude'), strict=True))[status]}-m{status}"
    with pytest.raises(kind, match=f"ordered {status}") as refused:
        client.messages.create(model=model, max_tokens=5, messages=[{"role": "user", "content": f"fail {status}"}])
    assert refused.value.response.headers["x-request-id"] == "req-golden"
    assert refused.value.response.json()["type"] == "error"


def test_a_key_of_ours_that_is_refused(llm_plane: LlmPlane) -> None:
    """By an upstream of another form: the client neither takes it for its own key, nor asks again."""
    before, asked = len(llm_plane.upstream.came), "fail 401"
    with (
        anthropic.Anthropic(base_url=llm_plane.url, api_key="k") as client,
        pytest.raises(anthropic.InternalServerError, match="credentials of the gateway for upstream") as refused,
    ):
        client.messages.create(model="openai-m401", max_tokens=5, messages=[{"role": "user", "content": asked}])
    assert (refused.value.status_code, len(llm_plane.upstream.came) - before) == (502, 1)
    assert refused.value.response.json()["type"] == "error"


def test_a_model_that_is_not_there(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as refused:
        client.messages.create(model="none", max_tokens=5, messages=ASKED)
    assert refused.value.response.json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    ("path", "more", "golden"),
    [
        ("messages", {}, MESSAGE),
        ("messages", {"stream": True}, MESSAGE_STREAM),
        ("messages", {"stream": True, "tools": TOOLS}, MESSAGE_TOOLS_STREAM),
        ("messages/count_tokens", {}, COUNTED),
    ],
)
def test_bytes_of_the_same_form_are_not_touched(llm_plane: LlmPlane, path: str, more: Any, golden: bytes) -> None:
    body = {"model": "claude", "max_tokens": 5, "messages": ASKED, "x_mine": [1.0], **more}
    answer = httpx.post(f"{llm_plane.url}/v1/{path}", json=body, headers={"anthropic-beta": "b", "x-api-key": "k"})
    assert answer.content == golden
    assert llm_plane.upstream.last() == {**body, "model": "up"}
    headers = llm_plane.upstream.came[-1][1]
    assert (headers["anthropic-beta"], headers["anthropic-version"]) == ("b", "2023-06-01")
    assert headers.get("x-api-key") != "k"


@pytest.mark.parametrize(
    ("verb", "golden"), [("generateContent", GENERATED), ("streamGenerateContent", GENERATED_STREAM)]
)
def test_gemini_passes_through(llm_plane: LlmPlane, verb: str, golden: bytes) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "x"}]}], "x_mine": 1}
    answer = httpx.post(f"{llm_plane.url}/v1beta/models/gemini:{verb}", params={"alt": "sse"}, json=body)
    assert answer.content == golden
    path, _, sent = llm_plane.upstream.came[-1]
    assert path.startswith(f"/v1/models/up:{verb}")
    assert json.loads(sent) == body


@cache
def schema(kind: Any) -> Any:
    return jsonschema_rs.validator_for(TypeAdapter(kind).json_schema())


@pytest.mark.parametrize("tools", [False, True])
def test_answers_keep_to_the_schema(llm_plane: LlmPlane, model: str, tools: bool) -> None:
    body = {"model": model, "max_tokens": 5, "messages": ASKED, **({"tools": TOOLS} if tools else {})}
    schema(Message).validate(httpx.post(f"{llm_plane.url}/v1/messages", json=body).json())
    stream = httpx.post(f"{llm_plane.url}/v1/messages", json={**body, "stream": True}).content
    each = schema(RawMessageStreamEvent)
    for event in Frames().feed(stream):
        if event.data and event.name != b"ping":
            assert json.loads(event.data)["type"] == event.name.decode()
            each.validate(json.loads(event.data))
