"""A streamed chat completion, put together again: pieces of text as they come, the whole answer at the end.

Called by desk.py. Reads OpenAI's server-sent events; decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = _Delta()
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str = ""
    model: str = ""
    choices: list[_Choice] = []
    usage: dict[str, Any] | None = None
    error: Any = None


_chunk = msgspec.json.Decoder(_Chunk)


class Assembler:
    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._rest = b""
        self._texts: list[str] = []
        self._last = _Chunk()
        self._finish = "stop"
        self._usage: dict[str, Any] | None = None
        self._error: Any = None

    def feed(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._event(line[5:].strip())

    @property
    def failed(self) -> bool:
        """The stream began well and then told of an error."""
        return self._error is not None

    def body(self) -> bytes:
        """As a server that does not stream would have answered."""
        if self._error is not None:
            return msgspec.json.encode({"error": self._error})
        message = {"role": "assistant", "content": "".join(self._texts)}
        choice = {"index": 0, "message": message, "finish_reason": self._finish}
        return msgspec.json.encode(
            {
                "id": self._last.id,
                "object": "chat.completion",
                "model": self._last.model,
                "choices": [choice],
                "usage": self._usage,
            }
        )

    def _event(self, data: bytes) -> None:
        if data == b"[DONE]":
            return
        try:
            chunk = _chunk.decode(data)
        except msgspec.MsgspecError as error:
            self._error = {"message": f"a piece of the stream is no JSON: {error}"}
            return
        if chunk.error is not None:
            self._error = chunk.error
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices[:1]:
            self._last = chunk
            self._finish = choice.finish_reason or self._finish
            if text := choice.delta.content:
                self._texts.append(text)
                self._tell(text)
