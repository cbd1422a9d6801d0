"""OpenAI's responses.

Called through registry.py. Decides what of a request and of an answer matters to routing, limits and the journal. The
last event of a stream holds the whole answer, so that only it is read for usage; a failed answer comes with status 200.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.gateway.dialects import fields, openai
from headrace.gateway.dialects.base import KEPT, NOWHERE, Address, Asked, Told
from headrace.gateway.dialects.failures import failure_of, found_in
from headrace.gateway.sse import framed
from headrace.types.errors import HeadraceError
from headrace.types.gateway import Chat, Failure, Wire

_NAMES = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}
_CUT = {"max_output_tokens": "length", "content_filter": "content_filter"}
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class _Part(msgspec.Struct, gc=False):
    text: Any = None
    refusal: Any = None


class _Item(msgspec.Struct, gc=False):
    type: str = ""
    call_id: Any = None
    name: Any = None
    arguments: Any = None
    content: list[_Part] | None = None


class _Response(msgspec.Struct, gc=False):
    object: str = ""
    id: Any = None
    model: Any = None
    status: Any = None
    error: Any = None
    incomplete_details: Any = None
    output: list[_Item] | None = None
    usage: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: Any = None
    output_index: int = 0
    item: _Item | None = None
    response: _Response | None = None
    message: Any = None
    code: Any = None
    error: Any = None


_RESPONSE = msgspec.json.Decoder(_Response)
_READ = frozenset(("model", "stream", "max_output_tokens", "user", "safety_identifier"))
_EVENT = msgspec.json.Decoder(_Event)


class ResponsesDialect(openai.OpenAI):
    wire = Wire.RESPONSES

    def ask(self, body: bytes, at: Address = NOWHERE) -> Asked:
        return _asked(fields.top(body), at)

    def dressed(self, asked: Asked, chat: Chat) -> Asked:
        dressed = fields.with_parameters(asked.fields, chat, (), _NAMES)
        if chat.prompt:
            given = fields.value(asked.fields, "instructions")
            given = given if isinstance(given, str) else ""
            dressed["instructions"] = msgspec.Raw(fields.encoded(f"{chat.prompt}\n\n{given}" if given else chat.prompt))
        return _asked(dressed, Address(model=asked.model))

    def body(self, asked: Asked, model: str, *, usage: bool) -> bytes:
        """Usage is always told."""
        return fields.sent(asked, {"model": model})

    def answered(self, body: bytes) -> Told:
        told = Told()
        try:
            answer = _RESPONSE.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            answer = _Response()
        if answer.object != "response":
            told.failure, told.message = Failure.BROKEN, "the answer is not a response"
            return told
        for item in answer.output or ():
            _add(told, item)
        _end(told, answer)
        return told

    def follow(self, asked: Asked) -> ResponsesFollower:
        return ResponsesFollower()

    def error_event(self, error: HeadraceError) -> bytes:
        told = {"type": "error", "code": "server_error", "message": error.sentence(), "param": error.field}
        return framed(fields.encoded({**told, "sequence_number": 0}), b"error")


class ResponsesFollower:
    __slots__ = ("_calls", "told")
    skim = None

    def __init__(self) -> None:
        self.told = Told()
        self._calls: dict[int, dict[str, Any]] = {}  # by the item's index

    def feed(self, event: bytes, data: bytes) -> bool:
        read = self.told.read(_EVENT, data) if data and data != openai.DONE else None
        if read is None:
            return True
        told = self.told
        if read.type.endswith(".delta"):
            self._piece(read)
        elif read.type == "response.output_item.added" and read.item is not None:
            if (call := _add(told, read.item)) is not None:
                self._calls[read.output_index] = call
        elif read.type == "response.created" and read.response is not None:
            told.id, told.model = str(read.response.id or ""), str(read.response.model or "")
        elif read.type in _ENDS and read.response is not None:
            _end(told, read.response)
        elif read.type == "error" or read.error:
            said = found_in({"error": read.error or {"code": read.code, "message": read.message}})
            told.failure, told.message = failure_of(200, said), said.message
        return True

    def _piece(self, read: _Event) -> None:
        told = self.told
        if not isinstance(read.delta, str):
            return
        told.tokens_seen += 1
        if read.type in ("response.output_text.delta", "response.refusal.delta"):
            told.add(read.delta)
        elif read.output_index in self._calls and told.kept < KEPT:
            self._calls[read.output_index]["arguments"] += read.delta
            told.kept += len(read.delta)


def _asked(top: dict[str, msgspec.Raw], at: Address) -> Asked:
    given = fields.read(top, _READ)
    return Asked(
        model=fields.name_of_model(given, at.model),
        fields=top,
        stream=fields.flag(given, "stream"),
        max_tokens=fields.count(given, "max_output_tokens"),
        user=fields.text(given, "safety_identifier", "user"),
        wants_usage=True,
    )


def _add(told: Told, item: _Item) -> dict[str, Any] | None:
    """The call, when the item is one."""
    for part in item.content or ():
        piece = part.text or part.refusal
        if isinstance(piece, str) and item.type == "message":
            told.tokens_seen += 1
            told.add(piece)
    if item.type != "function_call" or told.kept >= KEPT:
        return None
    call = {"id": str(item.call_id or ""), "name": str(item.name or ""), "arguments": str(item.arguments or "")}
    told.tokens_seen += 1
    told.tools.append(call)
    return call


def _end(told: Told, answer: _Response) -> None:
    told.id, told.model = str(answer.id or ""), str(answer.model or "")
    told.usage = openai.usage_of(answer.usage)
    told.ended = True
    if answer.status == "failed":
        said = found_in({"error": answer.error})
        told.failure, told.message = failure_of(200, said), said.message
    elif answer.status == "incomplete":
        details = answer.incomplete_details
        told.finish = _CUT.get(details.get("reason", ""), "length") if isinstance(details, dict) else "length"
    else:
        told.finish = "tool_calls" if told.tools else "stop"
