"""What mock upstreams of the gateway's measurements are asked and say: one answer, one stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

ASKED: dict[str, Any] = {
    "model": "assistant",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Say in one sentence what a headrace is."},
    ],
    "max_tokens": 64,
}


def answer() -> bytes:
    message = {"role": "assistant", "content": "A headrace leads water to the wheel of a mill. " * 4, "refusal": None}
    told = {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion",
        "created": 1780000000,
        "model": "gpt-2026-01-01",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 28, "completion_tokens": 48, "total_tokens": 76},
        "system_fingerprint": "fp_0123456789",
    }
    return json.dumps(told).encode()


def events(words: int) -> Iterator[bytes]:
    """Words, one that says why it ends, and the mark of the end."""
    head = {"id": "chatcmpl-0123456789", "object": "chat.completion.chunk", "created": 1780000000, "model": "gpt"}
    for number in range(words):
        delta = {"content": f" word{number}"}
        yield _event(head | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]})
    yield _event(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield b"data: [DONE]\n\n"


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"
