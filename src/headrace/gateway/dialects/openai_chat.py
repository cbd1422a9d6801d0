"""OpenAI's chat completions, as OpenAI itself, vLLM, llama.cpp, Ollama and many others speak it.

Called through registry.py. Decides what of a request and of an answer matters to routing, limits and the journal.
Knows two habits of servers that only look like OpenAI: an error in the middle of a stream with status 200, and usage
that comes with the last choice instead of after it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.gateway.dialects import fields, openai
from headrace.gateway.dialects.base import KEPT, NOWHERE, Address, Asked, Told
from headrace.gateway.dialects.failures import failure_of, found_in
from headrace.gateway.dialects.skim import Skimming
from headrace.types.gateway import Chat, Failure, Wire


class _Function(msgspec.Struct, gc=False):
    name: Any = None
    arguments: Any = None


class _Call(msgspec.Struct, gc=False):
    index: int = 0
    id: Any = None
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    """A whole message, or a piece of one. Reasoning has two names, by server."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct, gc=False):
    """`text`: of the older completions, which are a chat's in all else."""

    index: int = 0
    delta: _Message | None = None
    message: _Message | None = None
    text: Any = None
    finish_reason: Any = None


class _Answer(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


# What of a request matters here.
_READ = frozenset(
    ("model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "user", "safety_identifier")
)
_ANSWER = msgspec.json.Decoder(_Answer)
_ANSWERS = msgspec.json.Decoder(list[_Answer])
_CHOICES = (b'"choices":[{', b'"choices": [{')
_LAST = b"data: %b\n\n" % openai.DONE


class ChatDialect(openai.OpenAI):
    wire: Wire = Wire.CHAT

    def ask(self, body: bytes, at: Address = NOWHERE) -> Asked:
        return asked_of(fields.top(body), at)

    def dressed(self, asked: Asked, chat: Chat) -> Asked:
        dressed = fields.with_parameters(asked.fields, chat, openai.SAME, {})
        if chat.prompt:
            system = msgspec.Raw(fields.encoded({"role": "system", "content": chat.prompt}))
            dressed["messages"] = msgspec.Raw(fields.encoded([system, *fields.listed(asked.fields, "messages")]))
        return asked_of(dressed, Address(model=asked.model))

    def body(self, asked: Asked, model: str, *, usage: bool) -> bytes:
        changes: dict[str, Any] = {"model": model}
        if usage and asked.stream and not asked.wants_usage:
            options = fields.value(asked.fields, "stream_options")
            changes["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        return fields.sent(asked, changes)

    def answered(self, body: bytes) -> Told:
        told = Told()
        answer = told.read(_ANSWER, body)
        if answer is not None:
            _note(told, answer)
        if told.failure is None and (answer is None or not answer.choices):
            told.failure, told.message = Failure.BROKEN, "the answer is not a chat completion with a choice"
        told.ended = told.failure is None
        return told

    def follow(self, asked: Asked) -> ChatFollower:
        return ChatFollower(hide=not asked.wants_usage)


class ChatFollower(Skimming[_Answer]):
    """`hide`: the caller did not ask for usage, so that an event with nothing else in it is ours."""

    __slots__ = ("_hide",)

    def __init__(self, *, hide: bool) -> None:
        super().__init__(_ANSWER, _ANSWERS, sure=_CHOICES if hide else ())
        self._hide = hide

    def skim(self, block: bytes) -> bool:
        """Who did not ask for usage may see what has choices without a further look."""
        words = block.removesuffix(_LAST)
        taken = super().skim(words)
        if taken and len(words) < len(block):
            self._told.ended = True
        return taken

    def feed(self, event: bytes, data: bytes) -> bool:
        told = self.told
        if data == openai.DONE:
            told.ended = True
            return True
        answer = self.read(data) if data else None
        return not (self._hide and answer is not None and answer.usage and answer.choices == [])

    def note(self, read: _Answer) -> None:
        _note(self._told, read)


def asked_of(top: dict[str, msgspec.Raw], at: Address) -> Asked:
    given = fields.read(top, _READ)
    options = given.get("stream_options")
    most = fields.count(given, "max_completion_tokens", "max_tokens")
    return Asked(
        model=fields.name_of_model(given, at.model),
        fields=top,
        stream=fields.flag(given, "stream"),
        max_tokens=most * (fields.count(given, "n") or 1) if "n" in given else most,
        user=fields.text(given, "safety_identifier", "user"),
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _note(told: Told, answer: _Answer) -> None:
    if answer.error:
        said = found_in({"error": answer.error})
        told.failure, told.message = failure_of(200, said), said.message
        return
    if not told.id:
        told.id, told.model = str(answer.id or ""), str(answer.model or "")
    if answer.usage:
        told.usage = openai.usage_of(answer.usage) or told.usage
    for choice in answer.choices or ():
        _choose(told, choice)


def _choose(told: Told, choice: _Choice) -> None:
    if choice.finish_reason:
        told.finish = openai.finish_of(choice.finish_reason)
    if (message := choice.delta or choice.message) is not None:
        _add(told, message, first=choice.index == 0)
    elif isinstance(choice.text, str) and choice.text:
        told.tokens_seen += 1
        if choice.index == 0:
            told.add(choice.text)


def _add(told: Told, message: _Message, *, first: bool) -> None:
    """Every choice is billed; only the first one's text goes to the journal."""
    piece = message.content or message.refusal
    if piece and isinstance(piece, str):
        told.tokens_seen += 1
        if first:
            told.add(piece)
    if message.reasoning_content or message.reasoning:
        told.tokens_seen += 1
    for call in message.tool_calls or ():
        told.tokens_seen += 1
        if first:
            _call(told, call)


def _call(told: Told, call: _Call) -> None:
    """Pieces of a call are told apart by index; a whole answer has none, so an id begins a call too."""
    if told.kept >= KEPT or call.index < 0 or call.index > len(told.tools):
        return
    if call.index == len(told.tools) or (call.id and told.tools[call.index]["id"] not in ("", call.id)):
        told.tools.append({"id": "", "name": "", "arguments": ""})
        at = told.tools[-1]
    else:
        at = told.tools[call.index]
    if isinstance(call.id, str) and call.id:
        at["id"] = call.id
    if call.function is not None:
        if isinstance(call.function.name, str) and not at["name"]:
            at["name"] = call.function.name
        if isinstance(call.function.arguments, str):
            at["arguments"] += call.function.arguments
            told.kept += len(call.function.arguments)
