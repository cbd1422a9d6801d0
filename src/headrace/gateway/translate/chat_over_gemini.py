"""OpenAI's chat over an upstream that speaks Gemini's generateContent: the answer's way back, whole and streamed.

Called by crossed.py. Gemini gives a call of a tool whole and often without an id, so that one is made from its place.
"""

from __future__ import annotations

from typing import Any

from headrace.gateway.dialects.gemini_generate import FINISHES, usage_of
from headrace.gateway.translate.base import END, About, Bridge, Document, dict_of, messages_of, number, written
from headrace.gateway.translate.chat_to_gemini import request
from headrace.types.gateway import Wire


def answer(told: Document, asked: Document, about: About) -> Document:
    choices = []
    for candidate in messages_of(told, "candidates"):
        said = _said(candidate, str(told.get("responseId", "")), 0)
        message = {"role": "assistant", "content": None, "refusal": None, **said}
        finish = _finish(candidate, called="tool_calls" in said) or "stop"
        index = number(candidate, "index")
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": finish})
    return {
        "id": told.get("responseId", ""),
        "object": "chat.completion",
        "created": about.now,
        "model": told.get("modelVersion", about.model),
        "choices": choices,
        "usage": usage(told.get("usageMetadata")),
    }


class Chunks:
    """Gemini's events → OpenAI's chunks. The last word of a stream is that its connection closes."""

    def __init__(self, asked: Document, about: About) -> None:
        self._wants_usage = dict_of(asked, "stream_options").get("include_usage") is True
        self._about = about
        self._head: Document = {}
        self._usage: Any = None
        self._calls: dict[int, int] = {}  # of each candidate, so far
        self._finished = False

    def feed(self, event: Document) -> list[Document]:
        if event.get("error"):
            error = dict_of(event, "error")
            return [{"error": {**error, "type": str(error.get("status", "")).lower(), "param": None}}]
        out: list[Document] = []
        if not self._head:
            self._head = {
                "id": event.get("responseId", ""),
                "object": "chat.completion.chunk",
                "created": self._about.now,
                "model": event.get("modelVersion", self._about.model),
            }
            out = [self._chunk(0, {"role": "assistant", "content": "", "refusal": None}, None)]
        self._usage = event.get("usageMetadata") or self._usage
        for candidate in messages_of(event, "candidates"):
            out += self._candidate(candidate)
        return out

    def end(self) -> list[Document]:
        if not self._finished:
            return []
        last = {**self._head, "choices": [], "usage": usage(self._usage)}
        return [last, END] if self._wants_usage else [END]

    def _candidate(self, candidate: Document) -> list[Document]:
        index = number(candidate, "index")
        before = self._calls.get(index, 0)
        said = _said(candidate, str(self._head["id"]), before)
        calls = said.get("tool_calls", [])
        if calls:
            said["tool_calls"] = [{"index": before + place, **call} for place, call in enumerate(calls)]
            self._calls[index] = before + len(calls)
        finish = _finish(candidate, called=bool(self._calls.get(index)))
        self._finished = self._finished or bool(finish)
        return [self._chunk(index, said, finish)] if said or finish else []

    def _chunk(self, index: int, delta: Document, finish: str | None) -> Document:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._head, "choices": [choice]}


def usage(told: Any) -> Document:
    """Thoughts are part of the completion here, the cached part of the prompt."""
    counts = told if isinstance(told, dict) else {}
    prompt = number(counts, "promptTokenCount") + number(counts, "toolUsePromptTokenCount")
    thought = number(counts, "thoughtsTokenCount")
    completion = number(counts, "candidatesTokenCount") + thought
    buckets = usage_of(counts)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": buckets.cache_read if buckets else 0},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _said(candidate: Document, name: str, before: int) -> Document:
    out: Document = {}
    calls: list[Document] = []
    for part in messages_of(dict_of(candidate, "content"), "parts"):
        if isinstance(text := part.get("text"), str) and text:
            field = "reasoning_content" if part.get("thought") else "content"
            out[field] = out.get(field, "") + text
        if called := dict_of(part, "functionCall"):
            calls.append(_call(part, called, f"call_{name}_{before + len(calls)}"))
    if calls:
        out["tool_calls"] = calls
    return out


def _call(part: Document, called: Document, name: str) -> Document:
    function = {"name": called.get("name", ""), "arguments": written(called.get("args"))}
    call: Document = {"id": called.get("id") or name, "type": "function", "function": function}
    if part.get("thoughtSignature"):
        call["extra_content"] = {"google": {"thought_signature": part["thoughtSignature"]}}
    return call


def _finish(candidate: Document, *, called: bool) -> str | None:
    reason = candidate.get("finishReason")
    if not reason:
        return None
    return "tool_calls" if called and reason == "STOP" else FINISHES.get(reason, "stop")


BRIDGE = Bridge(source=Wire.CHAT, target=Wire.GEMINI, request=request, answer=answer, stream=Chunks)
