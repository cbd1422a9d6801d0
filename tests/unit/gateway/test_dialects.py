"""OpenAI's chat and Anthropic's messages: what is read of a request and of an answer, and what passes untouched."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from headrace.gateway.dialects.base import KEPT, Address, Told
from headrace.gateway.dialects.registry import DIALECTS
from headrace.gateway.sse import Frames
from headrace.types.errors import BadInput, NotFound, Overloaded
from headrace.types.gateway import Chat, Failure, Usage, Way, Wire

CHAT, MESSAGES = DIALECTS[Wire.CHAT], DIALECTS[Wire.MESSAGES]
STREAMING = (Wire.CHAT, Wire.COMPLETIONS, Wire.RESPONSES, Wire.MESSAGES, Wire.IMAGES)
WAYS = (Way(provider="p", model="m"),)


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def chunk(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"id": "c1", "model": "up", "choices": [], **fields}).encode() + b"\n\n"


def delta(finish: str | None = None, index: int = 0, **fields: Any) -> bytes:
    return chunk(choices=[{"index": index, "delta": fields, "finish_reason": finish}])


def followed(wire: Wire, request: bytes, stream: bytes) -> tuple[Told, list[bool]]:
    dialect = DIALECTS[wire]
    follower = dialect.follow(dialect.ask(request))
    shown = [follower.feed(event.name, event.data) for event in Frames().feed(stream)]
    return follower.told, shown


class TestAsking:
    def test_of_chat(self) -> None:
        asked = CHAT.ask(body(model="m", messages=[], stream=True, max_tokens=7, n=2, user="ann"))
        assert (asked.model, asked.stream, asked.max_tokens, asked.user) == ("m", True, 14, "ann")
        assert not asked.wants_usage
        assert CHAT.ask(body(model="m", stream_options={"include_usage": True})).wants_usage
        assert CHAT.ask(body(messages=[]), Address(model="azure")).model == "azure"

    def test_of_messages(self) -> None:
        asked = MESSAGES.ask(body(model="m", messages=[], max_tokens=9, metadata={"user_id": "ann"}))
        assert (asked.model, asked.stream, asked.max_tokens, asked.user) == ("m", False, 9, "ann")

    @pytest.mark.parametrize("wire", STREAMING)
    @pytest.mark.parametrize(
        ("sent", "field"),
        [(b"[]", "body"), (b"{", "body"), (b"\xff", "body"), (b'{"stream":1,"model":"m"}', "stream")],
    )
    def test_what_cannot_be_sent_on_is_refused(self, wire: Wire, sent: bytes, field: str) -> None:
        with pytest.raises(BadInput) as refused:
            DIALECTS[wire].ask(sent)
        assert refused.value.field == field

    @pytest.mark.parametrize("sent", [b"{}", b'{"model":""}', b'{"model":3}', b'{"model":null}'])
    def test_a_model_is_needed(self, sent: bytes) -> None:
        with pytest.raises(BadInput, match="'model' must be the name of a model"):
            CHAT.ask(sent)


class TestSending:
    def test_values_keep_their_bytes_and_unknown_fields_their_place(self) -> None:
        sent = b'{"zz": {"b":1.0, "a" : 1e2},"model":"mine","messages":[ {"role":"user","content":"\\u00e4"} ]}'
        out = CHAT.body(CHAT.ask(sent), "theirs", usage=True)
        assert out == b'{"zz":{"b":1.0, "a" : 1e2},"model":"theirs","messages":[ {"role":"user","content":"\\u00e4"} ]}'

    def test_a_model_named_twice_is_sent_once(self) -> None:
        asked = CHAT.ask(b'{"model":"dear","model":"cheap"}')
        assert asked.model == "cheap"
        assert CHAT.body(asked, "cheap", usage=False) == b'{"model":"cheap"}'

    def test_usage_of_a_stream_is_asked_for_beside_other_options(self) -> None:
        asked = CHAT.ask(body(model="m", stream=True, stream_options={"include_obfuscation": False}))
        out = json.loads(CHAT.body(asked, "m", usage=True))
        assert out["stream_options"] == {"include_obfuscation": False, "include_usage": True}
        assert "stream_options" not in json.loads(CHAT.body(CHAT.ask(body(model="m")), "m", usage=True))
        assert "stream_options" not in json.loads(CHAT.body(CHAT.ask(body(model="m", stream=True)), "m", usage=False))

    def test_dressing_of_chat(self) -> None:
        chat = Chat(ways=WAYS, prompt="Be brief.", parameters={"max_tokens": 5, "seed": 1}, forced={"temperature": 0})
        asked = CHAT.ask(body(model="m", messages=[{"role": "user", "content": "hi"}], max_completion_tokens=9))
        out = CHAT.dressed(asked, chat)
        assert out.whole()["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
        ]
        assert (out.max_tokens, out.whole()["seed"], out.whole()["temperature"]) == (9, 1, 0)
        assert "max_tokens" not in out.fields
        assert "seed" not in asked.fields  # the caller's own stays as it came

    def test_a_forced_none_takes_a_parameter_out(self) -> None:
        out = CHAT.dressed(CHAT.ask(body(model="m", temperature=1)), Chat(ways=WAYS, forced={"temperature": None}))
        assert list(out.fields) == ["model"]

    @pytest.mark.parametrize(
        ("system", "dressed"),
        [
            (None, "Be brief."),
            ("Be kind.", "Be brief.\n\nBe kind."),
            ([{"type": "text", "text": "K"}], [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "K"}]),
        ],
    )
    def test_dressing_of_messages(self, system: Any, dressed: Any) -> None:
        asked = MESSAGES.ask(body(model="m", messages=[], max_tokens=4, system=system))
        chat = Chat(ways=WAYS, prompt="Be brief.", parameters={"stop": ["x"]}, forced={"max_completion_tokens": 8})
        out = MESSAGES.dressed(asked, chat)
        assert out.whole() == {
            "model": "m", "messages": [], "max_tokens": 8, "system": dressed, "stop_sequences": ["x"]
        }  # fmt: skip
        assert out.max_tokens == 8


class TestChatAnswers:
    def test_whole(self) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
        told = CHAT.answered(
            body(
                id="c1",
                model="up",
                choices=[
                    {
                        "index": 0,
                        "finish_reason": "tool_calls",
                        "message": {
                            "role": "assistant",
                            "content": "hm",
                            "tool_calls": [call, {**call, "id": "call_2"}],
                        },
                    }
                ],
                usage={
                    "prompt_tokens": 100,
                    "completion_tokens": 50,
                    "total_tokens": 150,
                    "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 5, "cache_write_tokens": 10},
                    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 7},
                },
            )
        )
        assert told.usage == Usage(input=25, cache_read=60, cache_write=10, output=23, reasoning=20, audio=12)
        assert told.usage.total == 150
        assert (told.finish, told.text, told.id, told.model, told.failure) == ("tool_calls", "hm", "c1", "up", None)
        assert [(tool["id"], tool["name"]) for tool in told.tools] == [("call_1", "add"), ("call_2", "add")]

    def test_reasoning_counted_beside_the_completion(self) -> None:
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40}
        told = CHAT.answered(body(choices=[{}], usage={**usage, "completion_tokens_details": {"reasoning_tokens": 25}}))
        assert told.usage == Usage(input=10, output=5, reasoning=25)

    @pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b"{}", b'{"choices":[]}', b'{"choices":3}'])
    def test_what_cannot_be_read_is_broken(self, answer: bytes) -> None:
        assert CHAT.answered(answer).failure is Failure.BROKEN

    def test_streamed(self) -> None:
        stream = (
            delta(role="assistant", content="")
            + delta(reasoning_content="well")
            + delta(content="Hel")
            + delta(content="lo")
            + delta(content="other", index=1)
            + delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}])
            + delta(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}}])
            + delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}])
            + delta(tool_calls=[{"index": 1, "function": {"arguments": "}"}}])
            + delta("tool_calls")
            + chunk(usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})
            + b"data: [DONE]\n\n"
        )
        told, shown = followed(Wire.CHAT, body(model="m", stream=True), stream)
        assert (told.text, told.finish, told.ended, told.failure) == ("Hello", "tool_calls", True, None)
        assert told.usage == Usage(input=3, output=4)
        assert told.tokens_seen == 8
        assert told.tools == [
            {"id": "a", "name": "f", "arguments": "{}"},
            {"id": "b", "name": "g", "arguments": "{}"},
        ]
        assert shown == [True] * 10 + [False, True]

    def test_usage_is_shown_to_who_asked_for_it_or_with_a_choice(self) -> None:
        usage = {"prompt_tokens": 3, "completion_tokens": 4}
        asked = body(model="m", stream=True, stream_options={"include_usage": True})
        assert followed(Wire.CHAT, asked, chunk(usage=usage))[1] == [True]
        with_choice = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], usage=usage)
        told, shown = followed(Wire.CHAT, body(model="m", stream=True), with_choice)
        assert shown == [True]
        assert told.usage == Usage(input=3, output=4)

    @pytest.mark.parametrize(
        ("data", "failure"),
        [
            (b'{"error":{"message":"boom","type":"InternalServerError","code":500}}', Failure.BROKEN),
            (b'{"error":{"message":"maximum context length is 10 tokens"}}', Failure.CONTEXT),
            (b'{"error":"rate limited"}', Failure.BROKEN),
            (b'{"error":{"code":"content_filter","message":"no"}}', Failure.CONTENT),
            (b"<html>", Failure.BROKEN),
        ],
    )
    def test_an_error_inside_a_stream(self, data: bytes, failure: Failure) -> None:
        told, shown = followed(Wire.CHAT, body(model="m", stream=True), delta(content="x") + b"data: " + data + b"\n\n")
        assert told.failure is failure
        assert not told.ended
        assert shown == [True, True]
        assert told.message

    def test_an_unknown_form_passes(self) -> None:
        told, shown = followed(Wire.CHAT, body(model="m", stream=True), b'data: {"choices":"?"}\n\ndata: 7\n\n: x\n\n')
        assert (told.failure, shown) == (None, [True, True, True])

    def test_what_is_kept_is_bounded(self) -> None:
        told, _ = followed(Wire.CHAT, body(model="m", stream=True), delta(content="x" * 1000) * 200)
        assert KEPT <= len(told.text) < KEPT + 1000
        assert told.tokens_seen == 200


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


class TestMessages:
    USAGE: ClassVar = {
        "input_tokens": 10,
        "cache_read_input_tokens": 60,
        "cache_creation_input_tokens": 30,
        "output_tokens": 1,
    }

    def test_whole(self) -> None:
        told = MESSAGES.answered(
            body(
                id="msg_1",
                type="message",
                model="up",
                stop_reason="tool_use",
                content=[
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "Hello"},
                    {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}},
                ],
                usage={**self.USAGE, "output_tokens": 50, "output_tokens_details": {"thinking_tokens": 20}},
            )
        )
        assert told.usage == Usage(input=10, cache_read=60, cache_write=30, output=30, reasoning=20)
        assert (told.text, told.finish, told.id) == ("Hello", "tool_calls", "msg_1")
        assert told.tools == [{"id": "t1", "name": "add", "arguments": '{"a":1}'}]

    def test_streamed(self) -> None:
        stream = (
            event("message_start", message={"id": "msg_1", "type": "message", "model": "up", "usage": self.USAGE})
            + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
            + event("ping")
            + event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hel"})
            + event("content_block_delta", index=0, delta={"type": "text_delta", "text": "lo"})
            + event(
                "content_block_start", index=2, content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}}
            )
            + event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": '{"a"'})
            + event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": ":1}"})
            + event("content_block_stop", index=2)
            + event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 15})
        )
        told, shown = followed(Wire.MESSAGES, body(model="m", stream=True), stream)
        assert not told.ended
        assert told.usage == Usage(input=10, cache_read=60, cache_write=30, output=15)
        assert (told.text, told.finish) == ("Hello", "stop")
        assert told.tools == [{"id": "t", "name": "f", "arguments": '{"a":1}'}]
        assert all(shown)
        assert followed(Wire.MESSAGES, body(model="m"), stream + event("message_stop"))[0].ended

    def test_an_error_inside_a_stream(self) -> None:
        told, _ = followed(
            Wire.MESSAGES, body(model="m"), event("error", error={"type": "overloaded_error", "message": "busy"})
        )
        assert (told.failure, told.message) == (Failure.OVERLOADED, "busy")

    @pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"type":"error","error":{"message":"x"}}'])
    def test_what_cannot_be_read_is_broken(self, answer: bytes) -> None:
        assert MESSAGES.answered(answer).failure is Failure.BROKEN


@pytest.mark.parametrize(
    ("status", "answer", "failure"),
    [
        (400, {"error": {"message": "too long", "code": "context_length_exceeded"}}, Failure.CONTEXT),
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 5"}},
         Failure.CONTEXT),
        (400, {"object": "error", "message": "This model's maximum context length is 5 tokens."}, Failure.CONTEXT),
        (400, {"error": {"code": 400, "type": "exceed_context_size_error", "message": "?"}}, Failure.CONTEXT),
        (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT",
                         "message": "The input token count (9) exceeds the maximum number of tokens allowed (5)."}},
         Failure.CONTEXT),
        (400, {"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
         Failure.CONTENT),
        (400, {"error": {"message": "Your request was rejected as a result of our safety system."}}, Failure.CONTENT),
        (400, {"error": {"message": "'temperature' must be a number"}}, Failure.CALLER),
        (400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}, Failure.AUTH),
        (401, {"error": {"message": "no"}}, Failure.AUTH),
        (403, {"error": "no"}, Failure.AUTH),
        (404, {"error": {"code": "model_not_found", "message": "no"}}, Failure.AUTH),
        (408, {}, Failure.TIMEOUT),
        (413, {"error": {"type": "request_too_large", "message": "big"}}, Failure.CALLER),
        (422, {"detail": [{"msg": "x"}]}, Failure.CALLER),
        (429, {"error": {"code": "rate_limit_exceeded"}}, Failure.RATE_LIMIT),
        (429, {"error": {"code": "insufficient_quota"}}, Failure.AUTH),
        (500, {"error": {"type": "api_error", "message": "boom"}}, Failure.SERVER),
        (503, [{"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}}], Failure.OVERLOADED),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, Failure.OVERLOADED),
        (504, {}, Failure.TIMEOUT),
    ],
)  # fmt: skip
@pytest.mark.parametrize("wire", DIALECTS)
def test_failures(wire: Wire, status: int, answer: Any, failure: Failure) -> None:
    assert DIALECTS[wire].failure(status, json.dumps(answer).encode())[0] is failure


@pytest.mark.parametrize("wire", DIALECTS)
def test_a_failure_without_json_keeps_its_words(wire: Wire) -> None:
    assert DIALECTS[wire].failure(502, b"Bad gateway") == (Failure.SERVER, "Bad gateway")


def test_errors_in_their_own_forms() -> None:
    error = NotFound("no model 'x'", field="model", hint="GET /v1/models")
    assert json.loads(CHAT.error(error, 404)) == {
        "error": {
            "message": "no model 'x' (GET /v1/models)",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }
    error.trace_id = "tr"
    assert json.loads(MESSAGES.error(error, 404)) == {
        "type": "error",
        "error": {"type": "not_found_error", "message": "no model 'x' (GET /v1/models)"},
        "request_id": "tr",
    }
    [event] = Frames().feed(CHAT.error_event(Overloaded("full")))
    assert json.loads(event.data)["error"]["type"] == "server_error"
    [event] = Frames().feed(MESSAGES.error_event(Overloaded("full")))
    assert (event.name, json.loads(event.data)["type"]) == (b"error", "error")
    assert json.loads(CHAT.refusal(400, Failure.CONTEXT, "long"))["error"]["code"] == "context_length_exceeded"
    assert json.loads(MESSAGES.refusal(429, Failure.RATE_LIMIT, "slow"))["error"]["type"] == "rate_limit_error"
