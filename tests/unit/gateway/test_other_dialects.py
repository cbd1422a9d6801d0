"""The forms beside chat and messages: completions, responses, embeddings, counts, Gemini, and what passes through."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.gateway.dialects.anthropic_count import estimate
from headrace.gateway.dialects.base import Address, Told
from headrace.gateway.dialects.registry import DIALECTS
from headrace.gateway.sse import Frames
from headrace.types.errors import BadInput
from headrace.types.gateway import Chat, Failure, Usage, Way, Wire

WAYS = (Way(provider="p", model="m"),)
GEMINI = Address(model="g", stream=True)


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def events(*documents: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(document).encode() + b"\r\n\r\n" for document in documents)


def followed(wire: Wire, stream: bytes, at: Address = GEMINI) -> Told:
    dialect = DIALECTS[wire]
    follower = dialect.follow(dialect.ask(b'{"model":"m"}', at))
    assert all(follower.feed(event.name, event.data) for event in Frames().feed(stream))
    return follower.told


def test_every_form_has_a_dialect() -> None:
    assert set(DIALECTS) == set(Wire)


class TestCompletions:
    DIALECT = DIALECTS[Wire.COMPLETIONS]

    def test_answers(self) -> None:
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        choice = {"index": 0, "text": "Hello", "finish_reason": "length", "logprobs": None}
        told = self.DIALECT.answered(body(id="c", model="up", choices=[choice], usage=usage))
        assert (told.text, told.finish, told.usage) == ("Hello", "length", Usage(input=3, output=2))
        told = followed(
            Wire.COMPLETIONS, events({"choices": [{**choice, "finish_reason": None}]}, {"choices": [choice]})
        )
        assert (told.text, told.finish, told.tokens_seen) == ("HelloHello", "length", 2)

    @pytest.mark.parametrize(
        ("prompt", "dressed"), [("a", "P\n\na"), (["a", "b"], ["P\n\na", "P\n\nb"]), ([1, 2], [1, 2]), (None, "P")]
    )
    def test_dressing(self, prompt: Any, dressed: Any) -> None:
        out = self.DIALECT.dressed(self.DIALECT.ask(body(model="m", prompt=prompt)), Chat(ways=WAYS, prompt="P"))
        assert out.whole()["prompt"] == dressed


class TestEmbeddings:
    DIALECT = DIALECTS[Wire.EMBEDDINGS]

    def test_answers(self) -> None:
        told = self.DIALECT.answered(body(data=[{"embedding": [0.1]}], model="up", usage={"prompt_tokens": 8}))
        assert (told.usage, told.model, told.ended) == (Usage(input=8), "up", True)
        assert self.DIALECT.answered(b"{}").failure is Failure.BROKEN

    def test_a_prompt_is_not_put_before_the_input(self) -> None:
        asked = self.DIALECT.ask(body(model="m", input="x"))
        out = self.DIALECT.dressed(asked, Chat(ways=WAYS, prompt="P", forced={"dimensions": 8}))
        assert json.loads(self.DIALECT.body(out, "up", usage=True)) == {"model": "up", "input": "x", "dimensions": 8}


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "model": "up",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "output": [
        {"type": "reasoning", "id": "rs", "summary": []},
        {"type": "message", "content": [{"type": "output_text", "text": "Hello", "annotations": []}]},
        {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"},
    ],
    "usage": {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 6},
        "total_tokens": 19,
    },
}


class TestResponses:
    DIALECT = DIALECTS[Wire.RESPONSES]

    def test_asking(self) -> None:
        asked = self.DIALECT.ask(body(model="m", max_output_tokens=9, instructions="I", stream=True))
        assert (asked.max_tokens, asked.stream) == (9, True)
        out = self.DIALECT.dressed(asked, Chat(ways=WAYS, prompt="P", parameters={"max_tokens": 3}, forced={"n": None}))
        assert out.whole() == {"model": "m", "max_output_tokens": 9, "instructions": "P\n\nI", "stream": True}

    def test_whole(self) -> None:
        told = self.DIALECT.answered(body(**RESPONSE))
        assert told.usage == Usage(input=6, cache_read=4, output=3, reasoning=6)
        assert (told.text, told.finish, told.ended) == ("Hello", "tool_calls", True)
        assert told.tools == [{"id": "call_1", "name": "add", "arguments": "{}"}]

    @pytest.mark.parametrize(
        ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter")]
    )
    def test_cut_short(self, reason: str, finish: str) -> None:
        cut = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": reason}}
        assert self.DIALECT.answered(body(**cut)).finish == finish

    def test_failed_with_status_200(self) -> None:
        failed = {**RESPONSE, "status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow"}}
        assert self.DIALECT.answered(body(**failed)).failure is Failure.RATE_LIMIT
        told = followed(Wire.RESPONSES, events({"type": "response.failed", "response": failed}))
        assert (told.failure, told.message) == (Failure.RATE_LIMIT, "slow")
        told = followed(Wire.RESPONSES, events({"type": "error", "code": "server_error", "message": "boom"}))
        assert (told.failure, told.message, told.ended) == (Failure.SERVER, "boom", False)

    def test_streamed(self) -> None:
        call = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": ""}
        told = followed(
            Wire.RESPONSES,
            events(
                {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}},
                {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"},
                {"type": "response.output_text.delta", "output_index": 0, "delta": "lo"},
                {"type": "response.output_item.added", "output_index": 1, "item": call},
                {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{}"},
                {"type": "response.function_call_arguments.done", "output_index": 1, "arguments": "{}"},
                {"type": "response.completed", "response": RESPONSE},
            ),
        )
        assert (told.text, told.finish, told.ended, told.id) == ("Hello", "tool_calls", True, "resp_1")
        assert told.tools == [{"id": "call_1", "name": "add", "arguments": "{}"}]
        assert told.usage == Usage(input=6, cache_read=4, output=3, reasoning=6)

    def test_its_own_error_event(self) -> None:
        [event] = Frames().feed(self.DIALECT.error_event(BadInput("no", field="x")))
        assert event.name == b"error"
        assert json.loads(event.data)["type"] == "error"


class TestCounting:
    DIALECT = DIALECTS[Wire.COUNT_TOKENS]

    def test_answers(self) -> None:
        assert self.DIALECT.answered(b'{"input_tokens": 7}').failure is None
        assert self.DIALECT.answered(b'{"input_tokens": "7"}').failure is Failure.BROKEN

    def test_an_estimate_counts_letters_and_images_not_data(self) -> None:
        def counted(content: Any) -> int:
            asked = self.DIALECT.ask(body(model="m", messages=[{"role": "user", "content": content}]))
            return int(json.loads(estimate(asked))["input_tokens"])

        assert 100 <= counted("word " * 100) <= 200
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 100_000}}
        assert 1_600 <= counted([image]) <= 1_700

    def test_only_the_prompt_dresses(self) -> None:
        asked = self.DIALECT.ask(body(model="m", messages=[]))
        out = self.DIALECT.dressed(asked, Chat(ways=WAYS, prompt="P", forced={"temperature": 1}))
        assert out.whole() == {"model": "m", "messages": [], "system": "P"}


class TestGemini:
    DIALECT = DIALECTS[Wire.GEMINI]
    ANSWER = {  # noqa: RUF012
        "candidates": [
            {
                "content": {"parts": [{"text": "hm", "thought": True}, {"text": "Hello"}], "role": "model"},
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 20,
            "cachedContentTokenCount": 5,
            "candidatesTokenCount": 7,
            "thoughtsTokenCount": 3,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}, {"modality": "TEXT", "tokenCount": 16}],
        },
        "modelVersion": "up",
        "responseId": "r",
    }

    def test_the_model_stands_in_the_path(self) -> None:
        asked = self.DIALECT.ask(
            body(contents=[], generationConfig={"maxOutputTokens": 5, "candidateCount": 2}), GEMINI
        )
        assert (asked.model, asked.stream, asked.max_tokens) == ("g", True, 10)
        with pytest.raises(BadInput, match="names no model"):
            self.DIALECT.ask(b"{}")

    def test_dressing(self) -> None:
        asked = self.DIALECT.ask(body(contents=[], generationConfig={"topK": 3}), GEMINI)
        out = self.DIALECT.dressed(asked, Chat(ways=WAYS, prompt="P", parameters={"max_tokens": 4, "top_k": 1}))
        assert json.loads(self.DIALECT.body(out, "up", usage=True)) == {
            "contents": [],
            "generationConfig": {"topK": 3, "maxOutputTokens": 4},
            "systemInstruction": {"parts": [{"text": "P"}]},
        }
        assert (out.model, out.stream, out.max_tokens) == ("g", True, 4)

    def test_answers(self) -> None:
        told = self.DIALECT.answered(body(**self.ANSWER))
        assert told.usage == Usage(input=11, cache_read=5, output=7, reasoning=3, audio=4)
        assert (told.text, told.finish, told.model) == ("Hello", "stop", "up")
        told = followed(Wire.GEMINI, events({"candidates": [{"content": {"parts": [{"text": "Hel"}]}}]}, self.ANSWER))
        assert (told.text, told.ended) == ("HelHello", True)

    def test_tools_and_refusals(self) -> None:
        call = {"functionCall": {"name": "add", "args": {"a": 1}}}
        told = self.DIALECT.answered(body(candidates=[{"content": {"parts": [call]}, "finishReason": "STOP"}]))
        assert (told.finish, told.tools) == ("tool_calls", [{"id": "", "name": "add", "arguments": '{"a":1}'}])
        told = self.DIALECT.answered(body(promptFeedback={"blockReason": "SAFETY"}))
        assert told.failure is Failure.CONTENT
        told = self.DIALECT.answered(body(candidates=[{"finishReason": "PROHIBITED_CONTENT"}]))
        assert told.finish == "content_filter"
        assert self.DIALECT.answered(b"{}").failure is Failure.BROKEN

    def test_errors(self) -> None:
        told = json.loads(self.DIALECT.error(BadInput("no"), 400))
        assert told == {"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}


def form(*parts: tuple[str, bytes], boundary: str = "xYz") -> bytes:
    out = b""
    for name, value in parts:
        file = b'; filename="a.wav"\r\nContent-Type: audio/wav' if name == "file" else b""
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode() + file + b"\r\n\r\n" + value
        out += b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


class TestPassingThrough:
    AUDIO = DIALECTS[Wire.AUDIO]
    MEDIA = Address(media="multipart/form-data; boundary=xYz")
    FILE = b'\x00\xff\r\n--xY\r\nname="model"\r\n\r\nnot it\r\n'

    @pytest.mark.parametrize("order", [("file", "model", "stream"), ("model", "stream", "file")])
    def test_the_model_of_a_form_is_found_and_exchanged(self, order: tuple[str, ...]) -> None:
        values = {"file": self.FILE, "model": b"whisper", "stream": b"true"}
        sent = form(*((name, values[name]) for name in order))
        asked = self.AUDIO.ask(sent, self.MEDIA)
        assert (asked.model, asked.stream) == ("whisper", True)
        assert self.AUDIO.body(asked, "w2", usage=True) == sent.replace(b"whisper", b"w2")

    @pytest.mark.parametrize(
        "media", ['multipart/form-data; boundary="xYz"', "Multipart/Form-Data; charset=x; Boundary=xYz"]
    )
    def test_boundaries(self, media: str) -> None:
        assert self.AUDIO.ask(b"preamble\r\n" + form(("model", b"w")), Address(media=media)).model == "w"

    @pytest.mark.parametrize(
        "sent", [form(("file", FILE)), form(("model", b"a"), ("model", b"b")), form(("model", b"")), b"", b"--xYz\r\n"]
    )
    def test_a_form_without_one_model_is_refused(self, sent: bytes) -> None:
        with pytest.raises(BadInput, match="model"):
            self.AUDIO.ask(sent, self.MEDIA)

    def test_a_form_without_a_boundary_is_refused(self) -> None:
        with pytest.raises(BadInput, match="boundary"):
            self.AUDIO.ask(b"", Address(media="multipart/form-data"))

    def test_json(self) -> None:
        images = DIALECTS[Wire.IMAGES]
        asked = images.ask(body(model="m", prompt="a cat", stream=True))
        assert asked.stream
        assert json.loads(images.body(asked, "up", usage=True)) == {"model": "up", "prompt": "a cat", "stream": True}
        told = images.answered(body(data=[], usage={"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}))
        assert told.usage == Usage(input=3, output=5)
        assert DIALECTS[Wire.RERANK].answered(body(results=[], usage={"total_tokens": 8})).usage == Usage(input=8)
        assert images.answered(b"\x89PNG").failure is None

    def test_anything(self) -> None:
        raw = DIALECTS[Wire.RAW]
        assert raw.body(raw.ask(b""), "", usage=False) == b""
        assert raw.body(raw.ask(b"a=b", Address(media="text/plain")), "", usage=False) == b"a=b"
        asked = raw.ask(b'{"model": "up", "stream": true}', Address(media="application/json"))
        assert (asked.model, asked.stream) == ("up", True)
        out = raw.dressed(asked, Chat(ways=WAYS, forced={"a": 1}))
        assert raw.body(out, "m", usage=True) == b'{"model": "up", "stream": true}'

    def test_streamed(self) -> None:
        usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
        told = followed(Wire.AUDIO, events({"type": "x.delta", "delta": "a"}, {"type": "x.done", "usage": usage}))
        assert (told.usage, told.ended) == (Usage(input=3, output=5), True)
        assert followed(Wire.AUDIO, events({"error": {"message": "boom"}})).failure is Failure.BROKEN
