"""Anthropic's messages over an upstream that speaks OpenAI's chat: the answer's way back, whole and streamed.

Called by crossed.py. What the model thought is told only to who asked for thinking, with an empty signature: it must
not come back to an upstream that would check it.
"""

from __future__ import annotations

from typing import Any

from headrace.gateway.translate.base import (
    END,
    About,
    Bridge,
    Document,
    arguments_of,
    dict_of,
    messages_of,
    number,
)
from headrace.gateway.translate.messages_to_chat import request
from headrace.types.gateway import Wire

_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def answer(chat: Document, asked: Document, about: About) -> Document:
    choice = next(iter(messages_of(chat, "choices")), {})
    said = dict_of(choice, "message")
    blocks: list[Document] = []
    if thinks(asked) and (thought := thought_of(said)):
        blocks.append({"type": "thinking", "thinking": thought, "signature": ""})
    blocks += [
        {"type": "text", "text": text}
        for text in (said.get("content"), said.get("refusal"))
        if isinstance(text, str) and text
    ]
    blocks += [_use(call) for call in messages_of(said, "tool_calls")]
    return {
        "id": chat.get("id", ""),
        "type": "message",
        "role": "assistant",
        "model": chat.get("model", about.model),
        "content": blocks,
        "stop_reason": stop_of(choice.get("finish_reason"), refused=bool(said.get("refusal"))),
        "stop_sequence": None,
        "usage": usage(dict_of(chat, "usage")),
    }


class Events:
    """OpenAI's chunks → Anthropic's events. The message ends when the stream does, since usage comes after the last
    choice."""

    def __init__(self, asked: Document, about: About) -> None:
        self._thinks = thinks(asked)
        self._model = about.model
        self._begun = False
        self._ended = False
        self._next = 0  # index of the block to come
        self._at = 0  # of the one that is being told
        self._open = ""  # what the block that is being told is: text, thinking
        self._calls: dict[int, int] = {}  # index of a call → of its block; all stay open until the end
        self._stop = ""
        self._refused = False
        self._usage: Document = {}

    def feed(self, event: Document) -> list[Document]:
        if event is END:
            return self.end()
        if event.get("error"):
            return [{"type": "error", "error": _error(event["error"])}]
        out = [] if self._begun else [self._start(event)]
        self._usage = dict_of(event, "usage") or self._usage
        for choice in messages_of(event, "choices"):
            if number(choice, "index") == 0:
                out += self._choice(choice)
        return out

    def end(self) -> list[Document]:
        if self._ended or not self._stop:
            return []
        self._ended = True
        stop = stop_of(self._stop, refused=self._refused)
        delta = {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None},
            "usage": usage(self._usage),
        }
        return [*self._close(), *self._close_calls(), delta, {"type": "message_stop"}]

    def _start(self, event: Document) -> Document:
        self._begun = True
        message = {
            "id": event.get("id", ""),
            "type": "message",
            "role": "assistant",
            "model": event.get("model") or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage({}),
        }
        return {"type": "message_start", "message": message}

    def _choice(self, choice: Document) -> list[Document]:
        delta = dict_of(choice, "delta")
        out: list[Document] = []
        if self._thinks and (thought := thought_of(delta)):
            out += self._told("thinking", {"type": "thinking_delta", "thinking": thought})
        for name in ("content", "refusal"):
            if isinstance(text := delta.get(name), str) and text:
                self._refused = self._refused or name == "refusal"
                out += self._told("text", {"type": "text_delta", "text": text})
        for call in messages_of(delta, "tool_calls"):
            out += self._call(call)
        self._stop = choice.get("finish_reason") or self._stop
        return out

    def _told(self, kind: str, delta: Document) -> list[Document]:
        out: list[Document] = []
        if self._open != kind:
            out += self._close()
            block = {"type": kind, kind: "", **({"signature": ""} if kind == "thinking" else {})}
            out.append({"type": "content_block_start", "index": self._next, "content_block": block})
            self._open, self._at = kind, self._next
            self._next += 1
        return [*out, {"type": "content_block_delta", "index": self._at, "delta": delta}]

    def _call(self, call: Document) -> list[Document]:
        index, function = number(call, "index"), dict_of(call, "function")
        out: list[Document] = []
        if index not in self._calls:
            out += self._close()
            block = {"type": "tool_use", "id": call.get("id", ""), "name": function.get("name", ""), "input": {}}
            out.append({"type": "content_block_start", "index": self._next, "content_block": block})
            self._calls[index] = self._next
            self._next += 1
        if text := function.get("arguments"):
            delta = {"type": "input_json_delta", "partial_json": text}
            out.append({"type": "content_block_delta", "index": self._calls[index], "delta": delta})
        return out

    def _close(self) -> list[Document]:
        if not self._open:
            return []
        self._open = ""
        return [{"type": "content_block_stop", "index": self._at}]

    def _close_calls(self) -> list[Document]:
        return [{"type": "content_block_stop", "index": index} for index in self._calls.values()]


def usage(counts: Document) -> Document:
    asked, answered = dict_of(counts, "prompt_tokens_details"), dict_of(counts, "completion_tokens_details")
    read, wrote = number(asked, "cached_tokens"), number(asked, "cache_write_tokens")
    out: Document = {
        "input_tokens": max(0, number(counts, "prompt_tokens") - read - wrote),
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": wrote,
        "output_tokens": number(counts, "completion_tokens"),
    }
    if thought := number(answered, "reasoning_tokens"):
        out["output_tokens_details"] = {"thinking_tokens": thought}
    return out


def stop_of(finish: Any, *, refused: bool) -> str:
    return "refusal" if refused else _STOPS.get(str(finish), "end_turn")


def thinks(asked: Document) -> bool:
    return dict_of(asked, "thinking").get("type") in ("enabled", "adaptive", "between_tools")


def thought_of(said: Document) -> str:
    found = said.get("reasoning_content") or said.get("reasoning")
    return found if isinstance(found, str) else ""


def _use(call: Document) -> Document:
    """Arguments that are no JSON are told as they are, under a name of ours: an object is needed."""
    function = dict_of(call, "function")
    arguments = arguments_of(function.get("arguments"))
    given = {"arguments": function.get("arguments")} if arguments is None else arguments
    return {"type": "tool_use", "id": call.get("id", ""), "name": function.get("name", ""), "input": given}


def _error(error: Any) -> Document:
    message = error.get("message", "") if isinstance(error, dict) else str(error)
    return {"type": "api_error", "message": message}


BRIDGE = Bridge(source=Wire.MESSAGES, target=Wire.CHAT, request=request, answer=answer, stream=Events)
