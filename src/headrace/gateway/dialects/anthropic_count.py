"""Anthropic's count of tokens: of an upstream that counts, or our own estimate for one that cannot.

Called through registry.py, and by complete.py for an endpoint whose upstream is not Anthropic's: chat applications ask
for it and take its absence for an outage.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.gateway.dialects import anthropic, fields
from headrace.gateway.dialects.anthropic_messages import MessagesFollower, asked_of
from headrace.gateway.dialects.base import NOWHERE, Address, Asked, Told
from headrace.types.gateway import Chat, Failure, Usage, Wire

_IMAGE = 1_600  # tokens of one, at the size that is not scaled down
_LETTERS = 3.5  # of a token: errs on the side of more
_MESSAGE = 4  # tokens around each message
_SKIPPED = frozenset({"data", "signature", "cache_control"})


class CountDialect(anthropic.Anthropic):
    wire = Wire.COUNT_TOKENS

    def ask(self, body: bytes, at: Address = NOWHERE) -> Asked:
        return asked_of(fields.top(body), at)

    def dressed(self, asked: Asked, chat: Chat) -> Asked:
        """The prompt counts; parameters do not, and an upstream refuses those it does not know here."""
        top = anthropic.dressed(asked.fields, Chat(ways=chat.ways, prompt=chat.prompt))
        return asked_of(top, Address(model=asked.model))

    def body(self, asked: Asked, model: str, *, usage: bool) -> bytes:
        return fields.sent(asked, {"model": model})

    def answered(self, body: bytes) -> Told:
        try:
            counted = msgspec.json.decode(body, type=dict[str, Any]).get("input_tokens")
        except (msgspec.DecodeError, UnicodeDecodeError):
            counted = None
        if not isinstance(counted, int):
            return Told(failure=Failure.BROKEN, message="the answer is not a count of tokens")
        return Told(usage=Usage(), finish="stop", ended=True)

    def follow(self, asked: Asked) -> MessagesFollower:
        return MessagesFollower()


def estimate(asked: Asked) -> bytes:
    """The answer to a count, from the length of what is asked."""
    document = asked.whole()
    letters, images = 0.0, 0
    for name in ("system", "messages", "tools"):
        more_letters, more_images = _measured(document.get(name))
        letters += more_letters
        images += more_images
    messages = document.get("messages")
    count = len(messages) if isinstance(messages, list) else 0
    return fields.encoded({"input_tokens": int(letters / _LETTERS) + images * _IMAGE + count * _MESSAGE + 1})


def _measured(value: Any) -> tuple[int, int]:
    """Letters and images. The data of an image is not its letters."""
    if isinstance(value, str):
        return len(value), 0
    if isinstance(value, list):
        parts = [_measured(part) for part in value]
    elif isinstance(value, dict):
        parts = [_measured(part) for name, part in value.items() if name not in _SKIPPED]
        parts += [(len(name), 0) for name in value]
        if value.get("type") == "image":
            parts.append((0, 1))
    else:
        return 1, 0
    return sum(part[0] for part in parts), sum(part[1] for part in parts)
