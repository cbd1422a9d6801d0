"""OpenAI's own client in Python, which refuses answers that are not of its form, over upstreams of every kind."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import jsonschema_rs
import openai
import pytest
from golden_llm import (
    CALLS,
    CHAT,
    CHAT_STREAM,
    COMPLETION,
    EMBEDDING,
    IMAGE,
    MODERATION,
    RERANKED,
    RESPONSE,
    RESPONSE_STREAM,
    TEXT,
    TRANSCRIPT,
)
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from headrace.gateway.sse import Frames
from tests.contract.llm.conftest import KINDS, LlmPlane

pytestmark = pytest.mark.process
ASKED: Any = [{"role": "user", "content": "Where are you?"}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
FLAT: Any = [
    {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": False}
]


@pytest.fixture(scope="module")
def client(llm_plane: LlmPlane) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{llm_plane.url}/v1", api_key="any", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def told(call: Any) -> tuple[str, Any]:
    return call.id, json.loads(call.function.arguments)


WANTED = [(name, json.loads(arguments)) for name, arguments in CALLS]


def test_chat(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=ASKED)
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (20, 12)
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 8


def test_chat_streamed(client: openai.OpenAI, model: str) -> None:
    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=model, messages=ASKED, stream=True, stream_options=options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (20, 12)


def test_usage_that_was_not_asked_for_is_not_shown(client: openai.OpenAI, model: str) -> None:
    chunks = list(client.chat.completions.create(model=model, messages=ASKED, stream=True))
    assert all(chunk.choices and not chunk.usage for chunk in chunks)


def test_parallel_tools(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=ASKED, tools=TOOLS)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert [told(call) for call in answer.choices[0].message.tool_calls or ()] == WANTED


def test_parallel_tools_streamed(client: openai.OpenAI, model: str) -> None:
    with client.chat.completions.stream(model=model, messages=ASKED, tools=TOOLS) as stream:
        answer = stream.get_final_completion()
    assert answer.choices[0].finish_reason == "tool_calls"
    assert [told(call) for call in answer.choices[0].message.tool_calls or ()] == WANTED


def test_a_conversation_with_a_tool(client: openai.OpenAI, llm_plane: LlmPlane, model: str) -> None:
    first = client.chat.completions.create(model=model, messages=ASKED, tools=TOOLS).choices[0].message
    results: Any = [{"role": "tool", "tool_call_id": name, "content": "18"} for name, _ in CALLS]
    client.chat.completions.create(model=model, messages=[*ASKED, first.to_dict(), *results])
    sent = json.dumps(llm_plane.upstream.last())
    assert "weather" in sent
    assert "Oslo" in sent
    assert "18" in sent


@pytest.mark.parametrize("model", ["claude", "gemini"])
def test_responses(client: openai.OpenAI, model: str) -> None:
    answer = client.responses.create(model=model, input="Where are you?")
    assert (answer.output_text, answer.status) == (TEXT, "completed")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (20, 12, 32)
    answer = client.responses.create(model=model, input="Where?", tools=FLAT)
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [(call.call_id, json.loads(call.arguments)) for call in calls] == WANTED


@pytest.mark.parametrize("model", ["claude", "gemini"])
def test_responses_streamed(client: openai.OpenAI, model: str) -> None:
    with client.responses.stream(model=model, input="Where are you?") as stream:
        kinds = [event.type for event in stream]
        answer = stream.get_final_response()
    assert answer.output_text == TEXT
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    with client.responses.stream(model=model, input="Where?", tools=FLAT) as stream:
        answer = stream.get_final_response()
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [(call.call_id, json.loads(call.arguments)) for call in calls] == WANTED


def test_models(client: openai.OpenAI, llm_plane: LlmPlane) -> None:
    assert {model.id for model in client.models.list()} == set(llm_plane.endpoints)
    assert client.models.retrieve("claude").id == "claude"


def test_the_other_forms(client: openai.OpenAI, llm_plane: LlmPlane) -> None:
    assert client.embeddings.create(model="openai", input="x", encoding_format="float").data[0].embedding == [
        0.25,
        -0.001,
    ]
    assert client.completions.create(model="openai", prompt="x").choices[0].text == "Hi"
    assert client.moderations.create(model="openai", input="x").results == []
    assert client.images.generate(model="openai", prompt="x").data
    sound = io.BytesIO(b"RIFF\x00\r\n--not-the-boundary\r\n")
    assert client.audio.transcriptions.create(model="openai", file=("a.wav", sound)).text == "Hello"
    path, headers, body = llm_plane.upstream.came[-1]
    assert (path, headers["content-type"].split(";")[0]) == ("/v1/audio/transcriptions", "multipart/form-data")
    assert b'name="model"\r\n\r\nup\r\n' in body
    assert b"RIFF\x00\r\n--not-the-boundary\r\n" in body


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
def test_errors(client: openai.OpenAI, model: str, status: int, kind: type[openai.APIStatusError]) -> None:
    asked: Any = [{"role": "user", "content": f"fail {status}"}]
    with pytest.raises(kind, match=f"ordered {status}") as refused:
        client.chat.completions.create(model=f"{model}-{status}", messages=asked)
    headers = refused.value.response.headers
    assert headers["x-request-id"] == "req-golden"
    assert headers["x-ratelimit-remaining-requests"] == "7"
    assert headers.get("retry-after") == ("3" if status == 429 else None)


def test_a_key_of_ours_that_is_refused(llm_plane: LlmPlane, model: str) -> None:
    """By the upstream: the client neither takes it for its own key, nor asks again."""
    before = len(llm_plane.upstream.came)
    with (
        openai.OpenAI(base_url=f"{llm_plane.url}/v1", api_key="k") as client,
        pytest.raises(openai.InternalServerError, match="credentials of the gateway for upstream") as refused,
    ):
        client.chat.completions.create(model=f"{model}-401", messages=[{"role": "user", "content": "fail 401"}])
    assert (refused.value.status_code, len(llm_plane.upstream.came) - before) == (502, 1)


def test_an_error_inside_a_stream(client: openai.OpenAI, model: str) -> None:
    asked: Any = [{"role": "user", "content": "break"}]
    with pytest.raises(openai.APIError, match="boom"):
        list(client.chat.completions.create(model=f"{model}-break", messages=asked, stream=True))


def test_a_model_that_is_not_there(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="none", messages=ASKED)


@pytest.mark.parametrize(
    ("path", "more", "golden"),
    [
        ("chat/completions", {"messages": ASKED}, CHAT),
        (
            "chat/completions",
            {"messages": ASKED, "stream": True, "stream_options": {"include_usage": True}},
            CHAT_STREAM,
        ),
        ("responses", {"input": "x"}, RESPONSE),
        ("responses", {"input": "x", "stream": True}, RESPONSE_STREAM),
        ("completions", {"prompt": "x"}, COMPLETION),
        ("embeddings", {"input": "x"}, EMBEDDING),
        ("moderations", {"input": "x"}, MODERATION),
        ("images/generations", {"prompt": "x"}, IMAGE),
        ("rerank", {"query": "x", "documents": ["y"]}, RERANKED),
    ],
)
def test_bytes_of_the_same_form_are_not_touched(llm_plane: LlmPlane, path: str, more: Any, golden: bytes) -> None:
    answer = httpx.post(f"{llm_plane.url}/v1/{path}", json={"model": "openai", "x_mine": {"a": 1.0}, **more})
    assert answer.content == golden
    assert answer.headers["x-request-id"] == "req-golden"
    assert llm_plane.upstream.last() == {"model": "up", "x_mine": {"a": 1.0}, **more}
    headers = llm_plane.upstream.came[-1][1]
    assert not {"authorization", "cookie", "x-forwarded-for"} & set(headers)


def test_transcribed_bytes_are_not_touched(llm_plane: LlmPlane) -> None:
    answer = httpx.post(
        f"{llm_plane.url}/v1/audio/transcriptions", data={"model": "openai"}, files={"file": ("a.wav", b"RIFF")}
    )
    assert answer.content == TRANSCRIPT


@cache
def schema(kind: Any) -> Any:
    return jsonschema_rs.validator_for(TypeAdapter(kind).json_schema())


def asked(llm_plane: LlmPlane, path: str, **body: Any) -> bytes:
    return httpx.post(f"{llm_plane.url}/v1/{path}", json=body, timeout=30).content


def data_of(stream: bytes) -> list[Any]:
    frames = Frames()
    return [json.loads(e.data) for e in frames.feed(stream) + frames.close() if e.data.startswith(b"{")]


@pytest.mark.parametrize("tools", [False, True])
def test_answers_keep_to_the_schema(llm_plane: LlmPlane, model: str, tools: bool) -> None:
    """The client's own types as JSON Schema: stricter than the client, which takes a text for a number."""
    more = {"tools": TOOLS} if tools else {}
    schema(ChatCompletion).validate(
        json.loads(asked(llm_plane, "chat/completions", model=model, messages=ASKED, **more))
    )
    chunks = data_of(asked(llm_plane, "chat/completions", model=model, messages=ASKED, stream=True, **more))
    assert chunks
    each = schema(ChatCompletionChunk)
    for chunk in chunks:
        each.validate(chunk)


@pytest.mark.parametrize("tools", [False, True])
@pytest.mark.parametrize("model", ["claude", "gemini"])
def test_responses_keep_to_the_schema(llm_plane: LlmPlane, model: str, tools: bool) -> None:
    more = {"tools": FLAT} if tools else {}
    schema(Response).validate(json.loads(asked(llm_plane, "responses", model=model, input="x", **more)))
    each = schema(ResponseStreamEvent)
    for event in data_of(asked(llm_plane, "responses", model=model, input="x", stream=True, **more)):
        each.validate(event)


def test_embeddings_keep_to_the_schema(llm_plane: LlmPlane) -> None:
    schema(CreateEmbeddingResponse).validate(json.loads(asked(llm_plane, "embeddings", model="openai", input="x")))
