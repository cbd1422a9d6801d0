"""OpenAI's embeddings. Called through registry.py. There are no streams and nothing to put before the input."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.gateway.dialects import fields, openai
from headrace.gateway.dialects.base import NOWHERE, Address, Asked, Told
from headrace.gateway.dialects.openai_chat import ChatFollower
from headrace.types.gateway import Chat, Failure, Wire


class _Answer(msgspec.Struct, gc=False):
    """The vectors are not parsed."""

    data: msgspec.Raw = msgspec.Raw(b"null")
    model: Any = None
    usage: Any = None


_READ = frozenset(("model", "user"))
_ANSWER = msgspec.json.Decoder(_Answer)


class EmbeddingsDialect(openai.OpenAI):
    wire = Wire.EMBEDDINGS

    def ask(self, body: bytes, at: Address = NOWHERE) -> Asked:
        return _asked(fields.top(body), at)

    def dressed(self, asked: Asked, chat: Chat) -> Asked:
        return _asked(fields.with_parameters(asked.fields, chat, (), {}), Address(model=asked.model))

    def body(self, asked: Asked, model: str, *, usage: bool) -> bytes:
        return fields.sent(asked, {"model": model})

    def answered(self, body: bytes) -> Told:
        told = Told()
        try:
            answer = _ANSWER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            answer = _Answer()
        if not bytes(answer.data).lstrip().startswith(b"["):
            told.failure, told.message = Failure.BROKEN, "the answer is not a list of embeddings"
            return told
        told.model, told.usage, told.finish, told.ended = (
            str(answer.model or ""),
            openai.usage_of(answer.usage),
            "stop",
            True,
        )
        return told

    def follow(self, asked: Asked) -> ChatFollower:
        return ChatFollower(hide=False)


def _asked(top: dict[str, msgspec.Raw], at: Address) -> Asked:
    given = fields.read(top, _READ)
    model = fields.name_of_model(given, at.model)
    return Asked(model=model, fields=top, user=fields.text(given, "user"), wants_usage=True)
