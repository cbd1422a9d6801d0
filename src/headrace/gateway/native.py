"""The platform's own models as an upstream: `headrace/ENDPOINT` is asked in this process, and answers as OpenAI would.

Made by board.py, asked by reach.py like any other station. Decides the form of an answer: a chat completion, or its
events as the text comes. Other forms of call are translated, as for any upstream that speaks one. Ignores what a model
is: serving/talk.py speaks for it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from headrace.compute.line import Flow, Headers
from headrace.compute.upstream import Answer
from headrace.gateway.dialects.base import Asked
from headrace.gateway.dialects.openai import DONE
from headrace.types.endpoint import Variant
from headrace.types.errors import CallerError, HeadraceError, PlatformError, TimedOut, UpstreamError
from headrace.types.gateway import HOME, Breaker, Chat, Failure, Provider, ProviderKind, Retries, Way, Wire
from headrace.types.program import Usage
from headrace.types.step import Step
from headrace.types.traffic import TrafficPolicy

_AT = "@"  # ENDPOINT@VARIANT: a version that was chosen already
_JSON: Headers = [(b"content-type", b"application/json")]
_STREAM: Headers = [(b"content-type", b"text/event-stream")]
_NEVER = Breaker(failures=1 << 30)
_FAILURES: tuple[tuple[type[HeadraceError], Failure], ...] = (
    (CallerError, Failure.CALLER),
    (TimedOut, Failure.TIMEOUT),
    (PlatformError, Failure.OVERLOADED),
    (UpstreamError, Failure.BROKEN),
)
_encoder = msgspec.json.Encoder()


class Speech(Protocol):
    """serving.talk.Talk: one question and its answer. `input`, `output`: JSON, as /predict would have written them."""

    began: float
    input: bytes
    output: bytes
    ignored: tuple[str, ...]

    @property
    def usage(self) -> Usage | None: ...

    @property
    def steps(self) -> Sequence[Step]: ...

    async def piece(self) -> str:
        """What is new of the text; empty at its end. Raises what went wrong."""
        ...

    def close(self) -> None: ...


class Speaker(Protocol):
    """serving.talk.Talker."""

    def why_not(self, variant: Variant) -> str: ...

    def policy(self, endpoint: str) -> TrafficPolicy | None: ...

    def begin(
        self, endpoint: str, variant: str, asked: Mapping[str, Any], *, seconds: float, beside: bool
    ) -> Speech: ...


class Native:
    """Like station.Station, of the one provider that nobody configures."""

    __slots__ = ("_speaker", "name", "provider", "speaks")

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self.name = HOME
        self.provider = Provider(name=HOME, kind=ProviderKind.OWN)
        self.speaks = frozenset((Wire.CHAT,))

    def begin(self, model: str, body: bytes, *, seconds: float, beside: bool = False) -> Speech:
        """`model`: ENDPOINT, whose live version is meant, or ENDPOINT@VARIANT. `beside`: for a shadow. Raises as the
        speaker does."""
        endpoint, _, variant = model.partition(_AT)
        asked = msgspec.json.decode(body)
        return self._speaker.begin(endpoint, variant, {**asked, "model": endpoint}, seconds=seconds, beside=beside)

    async def answer(self, speech: Speech, asked: Asked, model: str) -> NativeAnswer:
        """Of a stream, once there is something to hear: what goes wrong before that has a status of its own."""
        return NativeAnswer(speech, asked, model, await speech.piece() if asked.stream else "")

    def chat(self, endpoint: str, variant: str) -> Chat:
        """What a version of a model is, as a version of a chat endpoint: one way, which nobody else can take. Who
        watches models (serving/failover.py) decides when one is left alone."""
        way = Way(provider=HOME, model=f"{endpoint}{_AT}{variant}")
        return Chat(ways=(way,), retries=Retries(attempts=1), breaker=_NEVER, fall_back_on=())

    def why_not(self, variant: Variant) -> str:
        return self._speaker.why_not(variant)

    def policy(self, endpoint: str) -> TrafficPolicy | None:
        return self._speaker.policy(endpoint)


class NativeAnswer:
    """Like compute.upstream.Answer. `first`: what is there of the text already."""

    __slots__ = ("_ended", "_first", "_head", "_role", "_speech", "headers", "status")

    def __init__(self, speech: Speech, asked: Asked, model: str, first: str) -> None:
        self.status = 200
        self.headers = _STREAM if asked.stream else _JSON
        self._speech = speech
        self._first, self._role, self._ended = first, {"role": "assistant"}, False
        kind = "chat.completion.chunk" if asked.stream else "chat.completion"
        self._head: dict[str, Any] = {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind}
        self._head |= {"created": int(time.time()), "model": model.partition(_AT)[0]}

    async def piece(self) -> bytes:
        if self._ended:
            return b""
        text, self._first = self._first or await self._speech.piece(), ""
        if text:
            delta, self._role = {**self._role, "content": text}, {}
            return self._said(delta)
        self._ended = True
        return self._last()

    async def flow(self, hear: Flow) -> bool:
        while piece := await self.piece():
            if not hear(piece):
                return True
        return False

    async def whole(self, limit: int) -> bytes:
        texts = [self._first]
        while text := await self._speech.piece():
            texts.append(text)
        message = {"role": "assistant", "content": "".join(texts), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return _encoder.encode({**self._head, "choices": [choice], "usage": self._spent()})

    def unread(self) -> bytes:
        return b""  # it knows itself what it used

    def close(self) -> None:
        self._speech.close()

    def _said(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event({**self._head, "choices": [choice]})

    def _last(self) -> bytes:
        usage = _event({**self._head, "choices": [], "usage": self._spent()})
        return self._said({**self._role}, "stop") + usage + b"data: " + DONE + b"\n\n"

    def _spent(self) -> dict[str, int]:
        usage = self._speech.usage or Usage()
        total = usage.prompt_tokens + usage.completion_tokens
        return {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": total,
        }


Reply = Answer | NativeAnswer  # of any upstream


def failure_of(error: HeadraceError) -> Failure:
    """Of a model of ours that did not answer."""
    return next((failure for kind, failure in _FAILURES if isinstance(error, kind)), Failure.SERVER)


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + _encoder.encode(chunk) + b"\n\n"
