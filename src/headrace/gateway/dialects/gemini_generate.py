"""Gemini's generateContent and streamGenerateContent.

Called through registry.py. The model and whether it is a stream stand in the path. A stream has no last word: it is
whole when a candidate has a reason to have finished. Each event tells the usage so far.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.gateway.dialects import fields
from headrace.gateway.dialects.base import KEPT, NOWHERE, Address, Asked, Told
from headrace.gateway.dialects.failures import complaint, failure_of, found_in
from headrace.gateway.sse import framed
from headrace.types.errors import BadInput, HeadraceError
from headrace.types.gateway import Chat, Failure, Usage, Wire

FINISHES = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "LANGUAGE"),
        "content_filter",
    ),
}
# What a version's parameters are called inside of generationConfig.
CONFIG = {
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "n": "candidateCount",
}
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class _Part(msgspec.Struct, gc=False):
    text: Any = None
    thought: Any = None
    functionCall: Any = None  # noqa: N815  # Gemini's name


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, gc=False):
    index: int = 0
    content: _Content | None = None
    finishReason: Any = None  # noqa: N815


class _Answer(msgspec.Struct, gc=False):
    candidates: list[_Candidate] | None = None
    usageMetadata: Any = None  # noqa: N815
    promptFeedback: Any = None  # noqa: N815
    modelVersion: Any = None  # noqa: N815
    responseId: Any = None  # noqa: N815
    error: Any = None


_ANSWER = msgspec.json.Decoder(_Answer)


class GenerateDialect:
    wire = Wire.GEMINI

    def ask(self, body: bytes, at: Address = NOWHERE) -> Asked:
        return _asked(fields.top(body), at)

    def dressed(self, asked: Asked, chat: Chat) -> Asked:
        top = dict(asked.fields)
        config = fields.value(top, "generationConfig")
        inner = {name: msgspec.Raw(fields.encoded(given)) for name, given in config.items()} if config else {}
        inner = fields.with_parameters(inner, chat, (), CONFIG)
        if inner:
            top["generationConfig"] = msgspec.Raw(fields.encoded(inner))
        if chat.prompt:
            name = "system_instruction" if "system_instruction" in top else "systemInstruction"
            given = fields.value(top, name)
            parts = given.get("parts", []) if isinstance(given, dict) else []
            top[name] = msgspec.Raw(fields.encoded({"parts": [{"text": chat.prompt}, *parts]}))
        return _asked(top, Address(model=asked.model, stream=asked.stream))

    def body(self, asked: Asked, model: str, *, usage: bool) -> bytes:
        """The model goes into the path. Usage is always told."""
        return fields.sent(asked, {})

    def answered(self, body: bytes) -> Told:
        told = Told()
        answer = _read(told, body)
        if told.failure is None and (answer is None or not answer.candidates):
            told.failure, told.message = Failure.BROKEN, "the answer has no candidate"
        told.ended = told.failure is None
        return told

    def follow(self, asked: Asked) -> GenerateFollower:
        return GenerateFollower()

    def failure(self, status: int, body: bytes) -> tuple[Failure, str]:
        told = complaint(body)
        return failure_of(status, told), told.message

    def error(self, error: HeadraceError, status: int) -> bytes:
        return _error(status, error.sentence())

    def error_event(self, error: HeadraceError) -> bytes:
        return framed(_error(500, error.sentence()))

    def refusal(self, status: int, failure: Failure, message: str) -> bytes:
        return _error(status, message)


class GenerateFollower:
    __slots__ = ("told",)
    skim = None

    def __init__(self) -> None:
        self.told = Told()

    def feed(self, event: bytes, data: bytes) -> bool:
        if data:
            _read(self.told, data)
            self.told.ended = bool(self.told.finish)
        return True


def usage_of(told: Any) -> Usage | None:
    """The cached are counted in the prompt, the thoughts beside the candidates."""
    if not isinstance(told, dict):
        return None
    prompt = _count(told, "promptTokenCount") + _count(told, "toolUsePromptTokenCount")
    cached = _count(told, "cachedContentTokenCount")
    heard, spoken = _audio(told.get("promptTokensDetails")), _audio(told.get("candidatesTokensDetails"))
    return Usage(
        input=max(0, prompt - cached - heard),
        cache_read=cached,
        output=max(0, _count(told, "candidatesTokenCount") - spoken),
        reasoning=_count(told, "thoughtsTokenCount"),
        audio=heard + spoken,
    )


def _asked(top: dict[str, msgspec.Raw], at: Address) -> Asked:
    if not at.model:
        raise BadInput("the path names no model", field="model", hint="POST /v1beta/models/{model}:generateContent")
    config = fields.value(top, "generationConfig")
    config = config if isinstance(config, dict) else {}
    most, times = config.get("maxOutputTokens"), config.get("candidateCount")
    return Asked(
        model=at.model,
        fields=top,
        stream=at.stream,
        max_tokens=(most if isinstance(most, int) else 0) * (times if isinstance(times, int) else 1),
        wants_usage=True,
    )


def _read(told: Told, data: bytes) -> _Answer | None:
    answer = told.read(_ANSWER, data)
    if answer is None:
        return None
    blocked = answer.promptFeedback.get("blockReason") if isinstance(answer.promptFeedback, dict) else None
    if answer.error:
        said = found_in({"error": answer.error})
        told.failure, told.message = failure_of(200, said), said.message
    elif blocked:
        told.failure, told.message = Failure.CONTENT, f"the prompt was blocked: {blocked}"
    told.id, told.model = str(answer.responseId or told.id), str(answer.modelVersion or told.model)
    told.usage = usage_of(answer.usageMetadata) or told.usage
    for candidate in answer.candidates or ():
        _add(told, candidate)
    return answer


def _add(told: Told, candidate: _Candidate) -> None:
    for part in (candidate.content.parts if candidate.content else None) or ():
        told.tokens_seen += 1
        if candidate.index:
            continue
        if isinstance(part.text, str) and not part.thought:
            told.add(part.text)
        elif isinstance(part.functionCall, dict) and told.kept < KEPT:
            arguments = fields.encoded(part.functionCall.get("args") or {}).decode()
            called = {"id": str(part.functionCall.get("id") or ""), "name": str(part.functionCall.get("name") or "")}
            told.tools.append({**called, "arguments": arguments})
            told.kept += len(arguments)
    if isinstance(candidate.finishReason, str):
        told.finish = FINISHES.get(candidate.finishReason, candidate.finishReason.lower())
        if told.finish == "stop" and told.tools:
            told.finish = "tool_calls"


def _error(status: int, message: str) -> bytes:
    name = _STATUS.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    return fields.encoded({"error": {"code": status, "message": message, "status": name}})


def _audio(details: Any) -> int:
    found = details if isinstance(details, list) else []
    return sum(
        _count(part, "tokenCount") for part in found if isinstance(part, dict) and part.get("modality") == "AUDIO"
    )


def _count(told: dict[str, Any], name: str) -> int:
    found = told.get(name)
    return found if isinstance(found, int) else 0
