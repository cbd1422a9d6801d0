"""What passes through: images, audio, moderations, rerank, and whatever a provider has besides.

Called through registry.py. Looks for the model's name and whether a stream is asked for, in JSON or in a form, and for
usage in an answer that has some. A form's files are never parsed: its parts are found by their boundary alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from headrace.gateway.dialects import fields, openai
from headrace.gateway.dialects.base import NOWHERE, Address, Asked, Told
from headrace.gateway.dialects.failures import failure_of, found_in
from headrace.types.errors import BadInput
from headrace.types.gateway import Chat, Usage, Wire

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s;]{1,200}))', re.IGNORECASE)
_NAME = re.compile(rb'content-disposition:[^\r\n]*?[;\s]name="?([^"\r\n;]*)"?', re.IGNORECASE)
_HEADERS = 8_192  # bytes, of one part
_READ = frozenset(("model", "stream", "stream_format", "user"))
_USAGE = 1024 * 1024  # an answer larger than this is pictures, not worth parsing for its usage


class _Glance(msgspec.Struct, gc=False):
    model: Any = None
    stream: Any = None


@dataclass(frozen=True, slots=True)
class Part:
    """Where the value of a field stands in a form."""

    name: str
    start: int
    end: int


class RawDialect(openai.OpenAI):
    """`named`: a model must be named, in the body or in the path. Otherwise nobody looks inside."""

    def __init__(self, wire: Wire, *, named: bool) -> None:
        self.wire = wire
        self._named = named

    def ask(self, body: bytes, at: Address = NOWHERE) -> Asked:
        if not self._named:
            return _anything(body, at)
        if at.media.lower().startswith("multipart/form-data"):
            return self._form(body, at)
        return self._asked(fields.top(body), at)

    def dressed(self, asked: Asked, chat: Chat) -> Asked:
        """A form, and what nobody looks into, goes as it came."""
        if not asked.fields:
            return asked
        return self._asked(fields.with_parameters(asked.fields, chat, (), {}), Address(model=asked.model))

    def body(self, asked: Asked, model: str, *, usage: bool) -> bytes:
        if asked.fields:
            return fields.sent(asked, {"model": model})
        parts = [part for part in _parts(asked.raw, asked.media) if part.name == "model"] if self._named else []
        if not parts:
            return asked.raw
        return asked.raw[: parts[0].start] + model.encode() + asked.raw[parts[0].end :]

    def answered(self, body: bytes) -> Told:
        told = Told(ended=True, finish="stop")
        if body[:1] == b"{" and len(body) <= _USAGE:
            _read(told, body)
        return told

    def follow(self, asked: Asked) -> RawFollower:
        return RawFollower()

    def _asked(self, top: dict[str, msgspec.Raw], at: Address) -> Asked:
        given = fields.read(top, _READ)
        return Asked(
            model=self._model(given.get("model"), at),
            fields=top,
            stream=fields.flag(given, "stream") or fields.text(given, "stream_format") == "sse",
            user=fields.text(given, "user"),
            wants_usage=True,
        )

    def _form(self, body: bytes, at: Address) -> Asked:
        parts = [part for part in _parts(body, at.media) if part.name in ("model", "stream")]
        if len({part.name for part in parts}) < len(parts):
            raise BadInput("'model' or 'stream' is in the form more than once", field="model")
        values = {part.name: body[part.start : part.end].decode("utf-8", "replace") for part in parts}
        model = self._model(values.get("model"), at)
        stream = values.get("stream", "").lower() == "true"
        return Asked(model=model, fields={}, stream=stream, raw=body, media=at.media, wants_usage=True)

    def _model(self, given: Any, at: Address) -> str:
        model = given if given is not None else at.model
        if not isinstance(model, str) or not model:
            raise BadInput(f"'model' must be the name of a model, not {model!r}", field="model")
        return model


class RawFollower:
    """The end of the connection is the end of the stream: nobody says more."""

    __slots__ = ("told",)
    skim = None

    def __init__(self) -> None:
        self.told = Told(ended=True, finish="stop")

    def feed(self, event: bytes, data: bytes) -> bool:
        if data and len(data) <= _USAGE and (b'"usage' in data or b'"error"' in data):
            _read(self.told, data)
        return True


def _anything(body: bytes, at: Address) -> Asked:
    """The bytes as they came. A stream is known beforehand only when JSON says so."""
    try:
        told = msgspec.json.decode(body, type=_Glance)
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = _Glance()
    model = told.model if isinstance(told.model, str) else at.model
    stream = told.stream is True or at.stream
    return Asked(model=model, fields={}, stream=stream, raw=body, media=at.media, wants_usage=True)


def _read(told: Told, data: bytes) -> None:
    try:
        answer = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if not isinstance(answer, dict):
        return
    told.model = str(answer.get("model") or told.model)
    if answer.get("error"):
        said = found_in(answer)
        told.failure, told.message, told.ended = failure_of(200, said), said.message, False
    usage = answer.get("usage")
    if isinstance(usage, dict) and isinstance(usage.get("total_tokens"), int):
        told.usage = openai.usage_of(usage)
        if told.usage is not None and not told.usage.total:  # rerank tells nothing but the sum
            told.usage = Usage(input=usage["total_tokens"])


def _parts(body: bytes, media: str) -> Iterator[Part]:
    """RFC 7578: parts between lines of two dashes and the boundary, each with headers, an empty line and its value."""
    found = _BOUNDARY.search(media)
    if found is None:
        raise BadInput(f"a form needs a boundary in its content type, not {media!r}", field="content-type")
    mark = b"--" + (found[1] or found[2]).encode()
    at = 0 if body.startswith(mark) else body.find(b"\r\n" + mark) + 2
    while at >= 0 and body.startswith(mark, at):
        start = body.find(b"\r\n\r\n", at, at + _HEADERS)
        end = body.find(b"\r\n" + mark, at + len(mark))
        if start < 0 or end < 0:
            return
        if (name := _NAME.search(body, at, start)) and start + 4 <= end:
            yield Part(name[1].decode("utf-8", "replace"), start + 4, end)
        at = end + 2
