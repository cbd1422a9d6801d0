"""OpenAI's responses over an upstream that speaks its chat: the answer's way back, whole and streamed.

Called by crossed.py. A whole answer and the last event of a stream are built by the same function, from the items that
were gathered, so that they cannot differ.
"""

from __future__ import annotations

from typing import Any

from headrace.gateway.translate.base import END, About, Bridge, Document, dict_of, messages_of, number
from headrace.gateway.translate.messages_over_chat import thought_of
from headrace.gateway.translate.responses_to_chat import request
from headrace.types.gateway import Wire

_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}
# What an answer repeats of what was asked, and what it says when nothing was.
_REPEATED: Document = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


def answer(chat: Document, asked: Document, about: About) -> Document:
    choice = next(iter(messages_of(chat, "choices")), {})
    said = dict_of(choice, "message")
    name = chat.get("id", "")
    items: list[Document] = []
    if thought := thought_of(said):
        items.append(_reasoning(f"rs_{name}", thought))
    parts = [_text(said["content"])] if said.get("content") else []
    if said.get("refusal"):
        parts.append({"type": "refusal", "refusal": said["refusal"]})
    if parts:
        items.append(_message(f"msg_{name}", parts))
    for call in messages_of(said, "tool_calls"):
        function = dict_of(call, "function")
        items.append(_call(call.get("id", ""), function.get("name", ""), function.get("arguments", "")))
    return response(chat, asked, about, items, str(choice.get("finish_reason") or "stop"))


def response(chat: Document, asked: Document, about: About, items: list[Document], finish: str) -> Document:
    """`finish`: empty while it is not whole."""
    repeated = {name: asked[name] if asked.get(name) is not None else empty for name, empty in _REPEATED.items()}
    cut = _CUT.get(finish)
    return {
        "id": f"resp_{chat.get('id', '')}",
        "object": "response",
        "created_at": about.now,
        "status": "in_progress" if not finish else "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": cut} if cut else None,
        "model": chat.get("model") or about.model,
        "output": items,
        "usage": usage(dict_of(chat, "usage")) if finish else None,
        **repeated,
    }


class Events:
    """Chunks → events. An item is told whole again when it ends; calls of tools may be told in turns, so that they all
    end with the stream."""

    def __init__(self, asked: Document, about: About) -> None:
        self._asked = asked
        self._about = about
        self._head: Document = {}
        self._number = 0
        self._items: list[Document] = []
        self._pieces: list[list[str]] = []  # of each item
        self._open = ""  # reasoning or message, whichever is being told
        self._told_at = 0
        self._part = ""  # output_text or refusal
        self._calls: dict[int, int] = {}  # index of a call → of its item
        self._finish = ""
        self._ended = False

    def feed(self, event: Document) -> list[Document]:
        if event is END:
            return self.end()
        if event.get("error"):
            return [self._failed(event["error"])]
        out: list[Document] = []
        if not self._head:
            self._head = {"id": event.get("id", ""), "model": event.get("model")}
            out = [self._whole("response.created"), self._whole("response.in_progress")]
        if event.get("usage"):
            self._head["usage"] = event["usage"]
        for choice in messages_of(event, "choices"):
            if number(choice, "index") == 0:
                out += self._choice(choice)
        return out

    def end(self) -> list[Document]:
        if self._ended or not self._finish:
            return []
        self._ended = True
        out = self._close()
        for at in self._calls.values():
            text = "".join(self._pieces[at])
            self._items[at] = item = {**self._items[at], "arguments": text, "status": "completed"}
            done = {"name": item["name"], "arguments": text}
            out.append(self._event("response.function_call_arguments.done", at, item_id=item["id"], **done))
            out.append(self._event("response.output_item.done", at, item=item))
        cut = self._finish in _CUT
        return [*out, self._whole("response.incomplete" if cut else "response.completed")]

    def _choice(self, choice: Document) -> list[Document]:
        delta = dict_of(choice, "delta")
        out: list[Document] = []
        if thought := thought_of(delta):
            out += self._told("reasoning", "reasoning_text", thought)
        if isinstance(text := delta.get("content"), str) and text:
            out += self._told("message", "output_text", text)
        if isinstance(text := delta.get("refusal"), str) and text:
            out += self._told("message", "refusal", text)
        for call in messages_of(delta, "tool_calls"):
            out += self._called(call)
        self._finish = choice.get("finish_reason") or self._finish
        return out

    def _told(self, kind: str, part: str, text: str) -> list[Document]:
        out: list[Document] = []
        if (self._open, self._part) != (kind, part):
            out += [*self._close(), *self._begin(kind, part)]
        at = self._told_at
        self._pieces[at].append(text)
        place = {"item_id": self._items[at]["id"], "content_index": 0, "delta": text}
        extra: Document = {"logprobs": []} if part == "output_text" else {}
        return [*out, self._event(f"response.{part}.delta", at, **place, **extra)]

    def _begin(self, kind: str, part: str) -> list[Document]:
        at = self._told_at = len(self._items)
        name = f"{'rs' if kind == 'reasoning' else 'msg'}_{self._head['id']}_{at}"
        empty = _reasoning(name, "") if kind == "reasoning" else _message(name, [])
        item = {**empty, "status": "in_progress"}
        if kind == "reasoning":
            item["content"] = []
        self._items.append(item)
        self._pieces.append([])
        self._open, self._part = kind, part
        place = {"item_id": name, "content_index": 0, "part": _part(part, "")}
        return [
            self._event("response.output_item.added", at, item=item),
            self._event("response.content_part.added", at, **place),
        ]

    def _close(self) -> list[Document]:
        if not self._open:
            return []
        at, part = self._told_at, self._part
        text = "".join(self._pieces[at])
        whole = _part(part, text)
        item = {**self._items[at], "content": [whole], "status": "completed"}
        self._items[at] = item
        self._open = self._part = ""
        place = {"item_id": item["id"], "content_index": 0}
        extra: Document = {"logprobs": []} if part == "output_text" else {}
        said = {"refusal": text} if part == "refusal" else {"text": text}
        return [
            self._event(f"response.{part}.done", at, **place, **said, **extra),
            self._event("response.content_part.done", at, **place, part=whole),
            self._event("response.output_item.done", at, item=item),
        ]

    def _called(self, call: Document) -> list[Document]:
        index, function = number(call, "index"), dict_of(call, "function")
        out: list[Document] = []
        if index not in self._calls:
            out = self._close()
            self._calls[index] = at = len(self._items)
            item = {**_call(call.get("id", ""), function.get("name", ""), ""), "status": "in_progress"}
            self._items.append(item)
            self._pieces.append([])
            out.append(self._event("response.output_item.added", at, item=item))
        at = self._calls[index]
        if text := function.get("arguments"):
            self._pieces[at].append(text)
            place = {"item_id": self._items[at]["id"], "delta": text}
            out.append(self._event("response.function_call_arguments.delta", at, **place))
        return out

    def _failed(self, error: Any) -> Document:
        message = error.get("message", "") if isinstance(error, dict) else str(error)
        code = error.get("code") if isinstance(error, dict) else None
        told = {"code": str(code) if code is not None else None, "message": message, "param": None}
        return {"type": "error", **told, "sequence_number": self._next()}

    def _whole(self, kind: str) -> Document:
        finish = self._finish if self._ended else ""
        told = response(self._head, self._asked, self._about, list(self._items), finish)
        return {"type": kind, "response": told, "sequence_number": self._next()}

    def _event(self, kind: str, at: int, **told: Any) -> Document:
        return {"type": kind, "output_index": at, **told, "sequence_number": self._next()}

    def _next(self) -> int:
        self._number += 1
        return self._number - 1


def usage(counts: Document) -> Document:
    asked, answered = dict_of(counts, "prompt_tokens_details"), dict_of(counts, "completion_tokens_details")
    prompt, completion = number(counts, "prompt_tokens"), number(counts, "completion_tokens")
    cached, wrote = number(asked, "cached_tokens"), number(asked, "cache_write_tokens")
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": wrote},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": number(answered, "reasoning_tokens")},
        "total_tokens": prompt + completion,
    }


def _reasoning(name: str, thought: str) -> Document:
    return {"type": "reasoning", "id": name, "summary": [], "content": [_part("reasoning_text", thought)]}


def _message(name: str, parts: list[Document]) -> Document:
    return {"type": "message", "id": name, "role": "assistant", "status": "completed", "content": parts}


def _call(call: str, name: str, arguments: str) -> Document:
    told = {"type": "function_call", "id": f"fc_{call}", "call_id": call, "name": name, "arguments": arguments}
    return {**told, "status": "completed"}


def _text(text: str) -> Document:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _part(kind: str, text: str) -> Document:
    if kind == "output_text":
        return _text(text)
    return {"type": kind, "refusal" if kind == "refusal" else "text": text}


BRIDGE = Bridge(source=Wire.RESPONSES, target=Wire.CHAT, request=request, answer=answer, stream=Events)
