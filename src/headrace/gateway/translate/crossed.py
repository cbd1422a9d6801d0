"""One call from the bytes of one form to the bytes of another and back, over one bridge or two.

Made by gateway/crossing.py for a way whose upstream does not speak what the caller speaks. Decides which bridges there
are and how events are framed. Raises BadInput for a request that no bridge can read, and UpstreamError for such an
answer. The upstream's own dialect still follows its answer: usage is counted there.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.gateway.dialects.base import Asked, Dialect
from headrace.gateway.dialects.fields import encoded
from headrace.gateway.dialects.registry import DIALECTS
from headrace.gateway.sse import framed
from headrace.gateway.translate import chat_over_gemini, chat_over_messages, messages_over_chat, responses_over_chat
from headrace.gateway.translate.base import END, About, Bridge, Document, Lost, Rewriter
from headrace.types.errors import BadInput, UpstreamError
from headrace.types.gateway import Wire

_BRIDGES = {
    (bridge.source, bridge.target): bridge
    for bridge in (
        chat_over_messages.BRIDGE,
        chat_over_gemini.BRIDGE,
        messages_over_chat.BRIDGE,
        responses_over_chat.BRIDGE,
    )
}
_TARGETS = (Wire.CHAT, Wire.MESSAGES, Wire.GEMINI)  # the better first
_DONE = b"[DONE]"
_MALFORMED = (TypeError, AttributeError, KeyError, ValueError, RecursionError)


def target_of(source: Wire, speaks: frozenset[Wire]) -> Wire | None:
    """Of what an upstream speaks, what can be crossed to."""
    return next((wire for wire in _TARGETS if wire in speaks and bridges(source, wire)), None)


def bridges(source: Wire, target: Wire) -> tuple[Bridge, ...]:
    """Empty when there is no way."""
    if direct := _BRIDGES.get((source, target)):
        return (direct,)
    first, second = _BRIDGES.get((source, Wire.CHAT)), _BRIDGES.get((Wire.CHAT, target))
    return (first, second) if first and second else ()


class Crossed:
    """`request` comes first. `lost`: what of it has no place in the other form."""

    def __init__(self, asked: Asked, source: Wire, target: Wire, *, now: int, sampling: bool = True) -> None:
        self.theirs: Dialect = DIALECTS[target]
        self.lost: tuple[str, ...] = ()
        self._source, self._target = source, target
        self._bridges = bridges(source, target)
        self._documents: list[Document] = [asked.whole()]  # what each bridge is given
        self._about = About(model=asked.model, now=now, sampling=sampling)
        self._rewriters: list[Rewriter] = []  # from the upstream's to the caller's

    def request(self, model: str) -> bytes:
        lost = Lost()
        self._about = About(model=model, now=self._about.now, sampling=self._about.sampling)
        documents = self._documents[:1]
        try:
            for bridge in self._bridges:
                documents.append(bridge.request(documents[-1], lost, self._about))
        except _MALFORMED as error:
            raise BadInput(f"the request is not of the form {self._source.value}: {error}", field="body") from error
        self._documents, self.lost = documents, lost.names
        pairs = zip(self._bridges, documents, strict=False)
        self._rewriters = [bridge.stream(given, self._about) for bridge, given in pairs][::-1]
        return encoded(documents[-1])

    def answer(self, body: bytes) -> bytes:
        try:
            told = msgspec.json.decode(body, type=dict[str, Any])
            for bridge, given in zip(reversed(self._bridges), reversed(self._documents[:-1]), strict=True):
                told = bridge.answer(told, given, self._about)
        except (msgspec.DecodeError, *_MALFORMED) as error:
            raise UpstreamError(f"the answer is not of the form {self._target.value}: {error}") from error
        return encoded(told)

    def event(self, name: bytes, data: bytes) -> bytes:
        """What the caller is told of one event: nothing, or some events. What keeps a connection alive passes as a
        comment."""
        if name == b"ping" or not data:
            return b": ping\n\n"
        try:
            told = END if data == _DONE else msgspec.json.decode(data, type=dict[str, Any])
            return self._written(self._through([told], 0))
        except (msgspec.DecodeError, *_MALFORMED) as error:
            raise UpstreamError(f"the stream is not of the form {self._target.value}: {error}") from error

    def close(self) -> bytes:
        """The upstream closed the connection: what is still owed when the answer was whole."""
        documents: list[Document] = []
        for place, rewriter in enumerate(self._rewriters):
            documents += self._through(rewriter.end(), place + 1)
        return self._written(documents)

    def _through(self, documents: list[Document], start: int) -> list[Document]:
        for rewriter in self._rewriters[start:]:
            documents = [told for document in documents for told in rewriter.feed(document)]
        return documents

    def _written(self, documents: list[Document]) -> bytes:
        if self._source is Wire.CHAT:
            return b"".join(framed(_DONE if told is END else encoded(told)) for told in documents)
        return b"".join(framed(encoded(told), str(told.get("type", "")).encode()) for told in documents)
