"""OpenAI's chat over an upstream that speaks Anthropic's messages: the answer's way back, whole and streamed.

Called by crossed.py. What the model thought is told as `reasoning_content`, and signed as `thinking_blocks`: fields
that OpenAI does not have and its clients keep, so that a conversation with tools can give them back.
"""

from __future__ import annotations

from typing import Any

from headrace.gateway.dialects.anthropic import FINISHES
from headrace.gateway.translate.base import (
    END,
    About,
    Bridge,
    Document,
    dict_of,
    messages_of,
    number,
    written,
)
from headrace.gateway.translate.chat_to_messages import request
from headrace.types.gateway import Wire

_THOUGHTS = frozenset({"thinking", "redacted_thinking"})


def answer(message: Document, asked: Document, about: About) -> Document:
    blocks = messages_of(message, "content")
    texts = [block.get("text", "") for block in blocks if block.get("type") == "text"]
    thoughts = [block for block in blocks if block.get("type") in _THOUGHTS]
    calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    said: Document = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": _refused(message)}
    if thoughts:
        said["reasoning_content"] = "".join(block.get("thinking", "") for block in thoughts)
        said["thinking_blocks"] = thoughts
    if calls:
        said["tool_calls"] = calls
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": finish_of(message)}
    return {
        "id": message.get("id", ""),
        "object": "chat.completion",
        "created": about.now,
        "model": message.get("model", about.model),
        "choices": [choice],
        "usage": usage(dict_of(message, "usage")),
    }


class Chunks:
    """Anthropic's events → OpenAI's chunks."""

    def __init__(self, asked: Document, about: About) -> None:
        self._wants_usage = dict_of(asked, "stream_options").get("include_usage") is True
        self._head: Document = {
            "id": "",
            "object": "chat.completion.chunk",
            "created": about.now,
            "model": about.model,
        }
        self._counts: Document = {}
        self._calls: dict[int, int] = {}  # index of a block → of a call
        self._open: Document = {}  # the block that is being told
        self._pieces: list[str] = []  # of its thinking, or of the arguments of its call
        self._finish: str = ""

    def feed(self, event: Document) -> list[Document]:
        match event.get("type"):
            case "message_start":
                return self._started(dict_of(event, "message"))
            case "content_block_start":
                return self._began(number(event, "index"), dict_of(event, "content_block"))
            case "content_block_delta":
                return self._piece(number(event, "index"), dict_of(event, "delta"))
            case "content_block_stop":
                return self._closed(number(event, "index"))
            case "message_delta":
                return self._delta(event)
            case "message_stop":
                return self._stopped()
            case "error":
                return [{"error": {**dict_of(event, "error"), "param": None, "code": None}}]
        return []

    def end(self) -> list[Document]:
        return []

    def _started(self, message: Document) -> list[Document]:
        self._head["id"] = message.get("id", "")
        self._head["model"] = message.get("model", self._head["model"])
        self._counts.update(dict_of(message, "usage"))
        return [self._chunk({"role": "assistant", "content": "", "refusal": None})]

    def _began(self, index: int, block: Document) -> list[Document]:
        self._open, self._pieces = block, []
        if block.get("type") == "text" and block.get("text"):
            return [self._chunk({"content": block["text"]})]
        if block.get("type") != "tool_use":
            return []
        self._calls[index] = at = len(self._calls)
        call = {"index": at, "id": block.get("id", ""), "type": "function"}
        return [self._chunk({"tool_calls": [{**call, "function": {"name": block.get("name", ""), "arguments": ""}}]})]

    def _piece(self, index: int, delta: Document) -> list[Document]:
        match delta.get("type"):
            case "text_delta":
                return [self._chunk({"content": delta.get("text", "")})]
            case "input_json_delta" if index in self._calls and delta.get("partial_json"):
                self._pieces.append("")
                return [self._arguments(index, delta["partial_json"])]
            case "thinking_delta":
                self._pieces.append(delta.get("thinking", ""))
                return [self._chunk({"reasoning_content": delta.get("thinking", "")})]
            case "signature_delta":
                self._open = {**self._open, "signature": delta.get("signature", "")}
        return []

    def _closed(self, index: int) -> list[Document]:
        """A tool without arguments has no pieces: its arguments are an object all the same."""
        block, self._open = self._open, {}
        if block.get("type") == "tool_use" and index in self._calls and not self._pieces:
            return [self._arguments(index, written(block.get("input")))]
        if block.get("type") == "thinking":
            block = {**block, "thinking": "".join(self._pieces)}
        return [self._chunk({"thinking_blocks": [block]})] if block.get("type") in _THOUGHTS else []

    def _delta(self, event: Document) -> list[Document]:
        self._counts.update({name: count for name, count in dict_of(event, "usage").items() if count is not None})
        delta = dict_of(event, "delta")
        if not delta.get("stop_reason"):
            return []
        self._finish = finish_of(delta)
        refusal = _refused(delta)
        return [self._chunk({"refusal": refusal} if refusal else {}, self._finish)]

    def _stopped(self) -> list[Document]:
        last = {**self._head, "choices": [], "usage": usage(self._counts)}
        return [last, END] if self._wants_usage else [END]

    def _arguments(self, index: int, text: str) -> Document:
        return self._chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": text}}]})

    def _chunk(self, delta: Document, finish: str | None = None) -> Document:
        return {**self._head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}


def usage(counts: Document) -> Document:
    """The cached and the written are part of the prompt here."""
    read, wrote = number(counts, "cache_read_input_tokens"), number(counts, "cache_creation_input_tokens")
    prompt, completion = number(counts, "input_tokens") + read + wrote, number(counts, "output_tokens")
    thought = number(dict_of(counts, "output_tokens_details"), "thinking_tokens")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": wrote},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def finish_of(message: Document) -> str:
    return FINISHES.get(str(message.get("stop_reason")), "stop")


def _refused(message: Document) -> Any:
    return dict_of(message, "stop_details").get("explanation") if message.get("stop_reason") == "refusal" else None


def _call(block: Document) -> Document:
    function = {"name": block.get("name", ""), "arguments": written(block.get("input"))}
    return {"id": block.get("id", ""), "type": "function", "function": function}


BRIDGE = Bridge(source=Wire.CHAT, target=Wire.MESSAGES, request=request, answer=answer, stream=Chunks)
