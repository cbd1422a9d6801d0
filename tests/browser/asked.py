"""Chat models that are played, for the playground: one takes its time, one is quick, one breaks off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from headrace.control.playground import Piece
from headrace.types.errors import UpstreamError

WORDS = {
    "careful": "Air scatters short waves of light more than long ones, so that blue comes from all sides.",
    "quick": "Because of Rayleigh scattering.",
    "torn": "It is",
}


class PlayedPlayground:
    def __init__(self) -> None:
        self.names: tuple[str, ...] = tuple(WORDS)
        self.rated: list[tuple[str, bool, str]] = []

    async def models(self) -> tuple[str, ...]:
        return self.names

    async def ask(self, model: str, messages: list[dict[str, Any]], *, user: str) -> AsyncIterator[Piece]:
        number = list(WORDS).index(model)
        yield Piece(trace_id=f"tr-{number:032x}", upstream=f"played/{model}")
        words = f"{len(messages)} read. {WORDS[model]}".split(" ")
        for word in words:
            await asyncio.sleep(0.01)
            yield Piece(text=f"{word} ")
        if model == "torn":
            raise UpstreamError("torn broke off: the connection was lost")
        yield Piece(read=9 * len(messages), written=len(words))

    async def rate(self, trace_id: str, *, up: bool, rater: str) -> None:
        self.rated.append((trace_id, up, rater))
