"""Calls whose upstream speaks another form than the caller, through the whole gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway_samples import ANSWER, ASK, DONE, assistant, chunk, gateway, saying, streaming, ways

from headrace.gateway.sse import Frames
from headrace.types.call import CallStatus
from headrace.types.gateway import Chat, Retries, Wire

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "up",
    "content": [{"type": "text", "text": "Paris."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 4, "cache_read_input_tokens": 5, "output_tokens": 2},
}
ASKED = {"model": "assistant", "max_tokens": 9, "messages": [{"role": "user", "content": "Capital of France?"}]}
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
PLAIN = Retries(attempts=1)


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


STREAM = [
    event("message_start", message={**MESSAGE, "content": [], "stop_reason": None}),
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    event("ping"),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Par"}),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": "is."}),
    event("content_block_stop", index=0),
    event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 2}),
    event("message_stop"),
]


def documents(body: bytes) -> list[Any]:
    return [json.loads(event.data) for event in Frames().feed(body) if event.data.startswith(b"{")]


async def test_chat_over_anthropic(tmp_path: Path) -> None:
    async with gateway(tmp_path, anthropic=saying(200, MESSAGE)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("anthropic"), prompt="Be brief."))))
        seen = await site.ask(ASK | {"seed": 1})
        head, sent = site.came["anthropic"][0]
        (call,) = site.calls()
    assert head.startswith("POST /v1/messages HTTP/1.1")
    assert json.loads(sent)["model"] == "anthropic-model"
    assert json.loads(sent)["system"].startswith("Be brief.")
    assert seen.status == 200
    assert seen.headers["x-headrace-lost"] == "seed"
    answer = seen.json()
    assert answer["choices"][0]["message"]["content"] == "Paris."
    assert answer["usage"]["prompt_tokens"] == 9
    assert call.spent is not None
    assert (call.spent.usage.input, call.spent.usage.cache_read, call.spent.usage.output) == (4, 5, 2)


async def test_chat_over_anthropic_streamed_in_any_split(tmp_path: Path) -> None:
    whole = b"".join(STREAM)
    pieces = [whole[i : i + 11] for i in range(0, len(whole), 11)]
    async with gateway(tmp_path, anthropic=streaming(*pieces)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("anthropic")))))
        seen = await site.ask(ASK | {"stream": True})
        (call,) = site.calls()
    assert seen.ended
    assert seen.body.endswith(DONE)
    assert b": ping\n\n" in seen.body
    told = documents(seen.body)
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in told) == "Paris."
    assert not any(chunk.get("usage") for chunk in told)
    assert (call.status, call.output) == (CallStatus.OK, "Paris.")


async def test_messages_over_openai(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, ANSWER)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        seen = await site.ask(ASKED, wire=Wire.MESSAGES)
        head, _ = site.came["one"][0]
    assert head.startswith("POST /v1/chat/completions HTTP/1.1")
    assert (seen.json()["type"], seen.json()["content"][0]["text"]) == ("message", "Paris.")


async def test_messages_over_openai_streamed(tmp_path: Path) -> None:
    events = [chunk("Par"), chunk("is."), chunk(finish="stop"), chunk(usage=USAGE), DONE]
    async with gateway(tmp_path, one=streaming(*events)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        seen = await site.ask(ASKED | {"stream": True}, wire=Wire.MESSAGES)
        assert json.loads(site.came["one"][0][1])["stream_options"] == {"include_usage": True}
        (call,) = site.calls()
    kinds = [event["type"] for event in documents(seen.body)]
    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert (call.status, call.output) == (CallStatus.OK, "Paris.")


async def test_a_stream_that_was_cut_ends_with_the_callers_own_error(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=streaming(chunk("Par"), then="cut")) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        seen = await site.ask(ASKED | {"stream": True}, wire=Wire.MESSAGES)
        (call,) = site.calls()
    assert documents(seen.body)[-1]["type"] == "error"
    assert call.status is CallStatus.FAILED


async def test_a_refusal_is_told_in_the_callers_form(tmp_path: Path) -> None:
    told = {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 5"}}
    async with gateway(tmp_path, anthropic=saying(400, told)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("anthropic"), retries=PLAIN))))
        seen = await site.ask(ASK)
    assert seen.status == 400
    assert seen.json()["error"]["code"] == "context_length_exceeded"


async def test_another_form_answers_when_the_first_does_not(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(503, b"busy"), anthropic=saying(200, MESSAGE)) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one", "anthropic"), retries=PLAIN))))
        seen = await site.ask(ASK)
    assert seen.json()["choices"][0]["message"]["content"] == "Paris."


async def test_tokens_are_counted_here_for_who_cannot(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(500, b""), anthropic=saying(200, {"input_tokens": 77})) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        seen = await site.ask(ASKED, wire=Wire.COUNT_TOKENS)
        assert 5 < seen.json()["input_tokens"] < 20
        assert not site.came["one"]
        await site.apply(assistant(site.folders.add(Chat(ways=ways("anthropic")), number=1_000_002)), revision=2)
        assert (await site.ask(ASKED, wire=Wire.COUNT_TOKENS)).json() == {"input_tokens": 77}
