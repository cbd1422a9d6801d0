"""Anthropic's messages.

Called through registry.py. Decides what of a request and of an answer matters to routing, limits and the journal. Usage
comes in two parts of a stream, the second of which counts on and may correct the first.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.gateway.dialects import anthropic, fields
from headrace.gateway.dialects.base import KEPT, NOWHERE, Address, Asked, Told
from headrace.gateway.dialects.failures import failure_of, found_in
from headrace.gateway.dialects.skim import Skimming
from headrace.types.gateway import Chat, Failure, Wire


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    text: Any = None
    thinking: Any = None
    id: Any = None
    name: Any = None
    input: Any = None


class _Message(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    content: list[_Block] = []
    stop_reason: Any = None
    usage: Any = None
    type: str = ""
    error: Any = None


class _Delta(msgspec.Struct, gc=False):
    type: str = ""
    text: Any = None
    thinking: Any = None
    partial_json: Any = None
    stop_reason: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: Any = None
    error: Any = None


_MESSAGE = msgspec.json.Decoder(_Message)
_READ = frozenset(("model", "stream", "max_tokens", "metadata"))
_EVENT = msgspec.json.Decoder(_Event)
_EVENTS = msgspec.json.Decoder(list[_Event])
_TOOLS = frozenset({"tool_use", "server_tool_use"})


class MessagesDialect(anthropic.Anthropic):
    wire = Wire.MESSAGES

    def ask(self, body: bytes, at: Address = NOWHERE) -> Asked:
        return asked_of(fields.top(body), at)

    def dressed(self, asked: Asked, chat: Chat) -> Asked:
        return asked_of(anthropic.dressed(asked.fields, chat), Address(model=asked.model))

    def body(self, asked: Asked, model: str, *, usage: bool) -> bytes:
        """Usage is always told."""
        return fields.sent(asked, {"model": model})

    def answered(self, body: bytes) -> Told:
        told = Told()
        try:
            message = _MESSAGE.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            told.failure, told.message = Failure.BROKEN, "the answer is not a message"
            return told
        if message.error or message.type != "message":
            _failed(told, message.error or "the answer is not a message")
            return told
        told.id, told.model = str(message.id or ""), str(message.model or "")
        told.usage = anthropic.usage_of(message.usage)
        told.finish = _finish(message.stop_reason)
        told.ended = True
        for block in message.content:
            _add(told, block)
        return told

    def follow(self, asked: Asked) -> MessagesFollower:
        return MessagesFollower()


class MessagesFollower(Skimming[_Event]):
    __slots__ = ("_calls", "_counts")

    def __init__(self) -> None:
        super().__init__(_EVENT, _EVENTS, b"event: content_block_delta\ndata: ")
        self._counts: dict[str, Any] = {}
        self._calls: dict[int, dict[str, Any]] = {}  # by the block's index

    def feed(self, event: bytes, data: bytes) -> bool:
        if data:
            self.read(data)
        return True

    def note(self, read: _Event) -> None:
        told = self._told
        if read.type == "content_block_delta":
            self._piece(read)
        elif read.type == "content_block_start" and read.content_block is not None:
            self._began(read.index, read.content_block)
        elif read.type == "message_start" and read.message is not None:
            told.id, told.model = str(read.message.id or ""), str(read.message.model or "")
            self._count(read.message.usage)
        elif read.type == "message_delta":
            self._count(read.usage)
            if read.delta is not None and read.delta.stop_reason:
                told.finish = _finish(read.delta.stop_reason)
        elif read.type == "message_stop":
            told.ended = True
        elif read.type == "error" or read.error:
            _failed(told, read.error)

    def _began(self, index: int, block: _Block) -> None:
        if (call := _add(self._told, block)) is not None:
            call["arguments"] = ""  # it comes in pieces
            self._calls[index] = call

    def _piece(self, read: _Event) -> None:
        delta, told = read.delta, self._told
        if delta is None:
            return
        told.tokens_seen += 1
        if isinstance(delta.text, str):
            told.add(delta.text)
        elif isinstance(delta.partial_json, str) and told.kept < KEPT and read.index in self._calls:
            self._calls[read.index]["arguments"] += delta.partial_json
            told.kept += len(delta.partial_json)

    def _count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self._counts.update({name: count for name, count in usage.items() if count is not None})
            self._told.usage = anthropic.usage_of(self._counts)


def asked_of(top: dict[str, msgspec.Raw], at: Address) -> Asked:
    given = fields.read(top, _READ)
    metadata = given.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    return Asked(
        model=fields.name_of_model(given, at.model),
        fields=top,
        stream=fields.flag(given, "stream"),
        max_tokens=fields.count(given, "max_tokens"),
        user=user if isinstance(user, str) else "",
        wants_usage=True,
    )


def _add(told: Told, block: _Block) -> dict[str, Any] | None:
    """The call, when the block is one."""
    if block.type == "text" and isinstance(block.text, str) and block.text:
        told.tokens_seen += 1
        told.add(block.text)
    elif block.type in _TOOLS and told.kept < KEPT:
        told.tokens_seen += 1
        arguments = fields.encoded(block.input or {}).decode()
        call = {"id": str(block.id or ""), "name": str(block.name or ""), "arguments": arguments}
        told.kept += len(arguments)
        told.tools.append(call)
        return call
    return None


def _finish(reason: Any) -> str:
    return anthropic.FINISHES.get(reason, reason) if isinstance(reason, str) else ""


def _failed(told: Told, error: Any) -> None:
    said = found_in({"error": error})
    told.failure, told.message = failure_of(200, said), said.message
