"""What kinds of providers differ in: which forms of call they take, at which path, and how a key is shown.

Called by station.py. A kind decides a path and headers, nothing else; all of them are reached by the same client.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from headrace.compute.line import Headers
from headrace.types.gateway import Provider, Wire

TAILS = {
    Wire.CHAT: "/chat/completions",
    Wire.COMPLETIONS: "/completions",
    Wire.RESPONSES: "/responses",
    Wire.EMBEDDINGS: "/embeddings",
    Wire.MESSAGES: "/messages",
    Wire.COUNT_TOKENS: "/messages/count_tokens",
}


class Target(msgspec.Struct, frozen=True):
    """Where a call goes. `tail`: the path as the caller wrote it, below the base, where the form has several."""

    wire: Wire
    model: str
    tail: str = ""
    stream: bool = False


class Kind(Protocol):
    speaks: frozenset[Wire]

    def path(self, provider: Provider, target: Target) -> str:
        """Below the provider's URL, with a query if it has one."""
        ...

    def headers(self, provider: Provider, secret: str) -> Headers:
        """How the key is shown: in a header, never in an address. Without a key: nothing."""
        ...


OPENAI = frozenset(
    (
        Wire.CHAT,
        Wire.COMPLETIONS,
        Wire.RESPONSES,
        Wire.EMBEDDINGS,
        Wire.IMAGES,
        Wire.AUDIO,
        Wire.MODERATIONS,
        Wire.RERANK,
    )
)


def tail_of(target: Target) -> str:
    return TAILS.get(target.wire) or target.tail
