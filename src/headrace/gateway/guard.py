"""Guards at work: in what a caller says, in an answer, and in a stream with as much of it held back as they must see.

Called by complete.py and relay.py for versions that have guards; all others pay nothing. Decides where texts are in a
request or an answer, and how much of a stream may go on: never a part of what a guard would change or stop. Guards run
in the order of the version; the answer goes through them the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from headrace.gateway.dialects.base import Asked
from headrace.gateway.guards.base import WHOLE, Memory, Span
from headrace.gateway.guards.base import Guard as Checker
from headrace.gateway.sse import Event, Frames
from headrace.types.gateway import Wire

# Members of a request or an answer that are no text of anybody.
_NAMES = frozenset(
    (
        *("call_id", "created", "data", "detail", "file_id", "finish_reason", "format", "id", "image_url", "index"),
        *("media_type", "mimeType", "model", "name", "object", "role", "signature", "status", "stop_reason", "type"),
        *("tool_call_id", "tool_use_id", "url", "usage", "system_fingerprint", "service_tier", "finishReason"),
    )
)
_SPOKEN = ("messages", "input", "prompt", "contents", "system", "instructions", "systemInstruction")
_encode = msgspec.json.Encoder().encode

Change = Callable[[str], str]


@dataclass(slots=True)
class Guards:
    """Of one call."""

    before: Sequence[Checker]
    after: Sequence[Checker]
    memory: Memory = field(default_factory=Memory)

    def asked(self, asked: Asked) -> Asked:
        """As the upstream may see it. Raises Blocked."""
        if not self.before:
            return asked
        fields = dict(asked.fields)
        for name in _SPOKEN:
            if name in fields:
                fields[name] = msgspec.Raw(_encode(_walk(msgspec.json.decode(fields[name]), self._say)))
        return msgspec.structs.replace(asked, fields=fields, document=None)

    def answered(self, body: bytes) -> bytes:
        """As the caller may see it. Raises Blocked."""
        if not self.after:
            return body
        return _encode(_walk(msgspec.json.decode(body), self.hear))

    def stream(self, wire: Wire) -> GuardedStream | None:
        return GuardedStream(wire, self) if self.after else None

    def _say(self, text: str) -> str:
        for guard in self.before:
            text = put(text, guard.before(text, self.memory), len(text))[0]
        return text

    def hear(self, text: str) -> str:
        """One text of an answer, whole. Raises Blocked."""
        for guard in reversed(self.after):
            text = put(text, guard.after(text, self.memory), len(text))[0]
            guard.end(text)
        return text


class GuardedStream:
    """Events of a caller's form in, the same out, some later. Held text goes out with the event that ends it."""

    def __init__(self, wire: Wire, guards: Guards) -> None:
        self._slots = _SLOTS[wire]
        self._guards = guards
        self._frames = Frames()
        self._held: dict[str, list[_Held]] = {}
        self._last: dict[str, tuple[bytes, Any, Any, str]] = {}  # the event in which a text last grew

    def feed(self, piece: bytes) -> bytes:
        """Raises Blocked."""
        return b"".join([self._event(event) for event in self._frames.feed(piece)])

    def close(self) -> bytes:
        out = [self._event(event) for event in self._frames.close()]
        return b"".join([*out, *(self._flush(name) for name in list(self._held))])

    def _event(self, event: Event) -> bytes:
        if not event.data.startswith(b"{"):
            return event.raw if not event.data else b"".join([*map(self._flush, list(self._held)), event.raw])
        body = msgspec.json.decode(event.data)
        grown, ended, whole = self._slots(body)
        growing = {name for name, _, _ in grown}
        flushed = [self._flush(name) for name in ended if name in self._held and name not in growing]
        for name, holder, key in grown:
            self._last[name] = (event.name, body, holder, key)
            holder[key] = self._grow(name, holder[key], last=name in ended)
        for name in growing.intersection(ended):
            del self._held[name], self._last[name]
        if whole:
            body = _walk(body, self._guards.hear)
        if not grown and not whole:
            return b"".join([*flushed, event.raw])
        return b"".join([*flushed, _written(event.name, body)])

    def _grow(self, name: str, text: str, *, last: bool) -> str:
        held = self._held.get(name)
        if held is None:
            held = self._held[name] = [_Held(guard) for guard in reversed(self._guards.after)]
        for each in held:
            text = each.add(text, self._guards.memory, last=last)
        return text

    def _flush(self, name: str) -> bytes:
        """What is held of a text, as one more event like the last in which it grew."""
        rest = self._grow(name, "", last=True)
        del self._held[name]
        named, body, holder, key = self._last.pop(name)
        if not rest:
            return b""
        holder[key] = rest
        return _written(named, body)


@dataclass(slots=True)
class _Held:
    """What one guard has not let go of one text, and all of it that it has seen, if it must see it whole."""

    guard: Checker
    text: str = ""
    whole: list[str] = field(default_factory=list)

    def add(self, more: str, memory: Memory, *, last: bool) -> str:
        self.text += more
        if self.guard.hold >= WHOLE:
            if not last:
                return ""
            out, self.text = self.text, ""
            out = put(out, self.guard.after(out, memory), len(out))[0]
            self.guard.end(out)
            return out
        upto = len(self.text) if last else max(0, len(self.text) - self.guard.hold)
        if upto == 0 and not last:
            self.guard.after(self.text, memory)  # a word that must not pass is seen as soon as it is there
            return ""
        out, used = put(self.text, self.guard.after(self.text, memory), upto)
        self.text = self.text[used:]
        self.whole.append(out)
        if last:
            self.guard.end("".join(self.whole))
        return out


def put(text: str, spans: Sequence[Span], upto: int) -> tuple[str, int]:
    """`text` up to `upto`, or to where a span over that place begins, with the spans put in; and how much of it that
    was. Cut between words where there is one: patterns look at what stands before."""
    if upto < len(text):
        over = next((span.start for span in spans if span.start < upto < span.end), upto)
        space = text.rfind(" ", 0, over)
        inside = any(span.start < space < span.end for span in spans)
        upto = space if space > 0 and not inside else over
    parts, at = [], 0
    for span in spans:
        if span.end > upto:
            break
        parts += [text[at : span.start], span.instead]
        at = span.end
    parts.append(text[at:upto])
    return "".join(parts), upto


def _walk(value: Any, change: Change) -> Any:
    """Every text of a JSON value but names and the like."""
    if isinstance(value, str):
        return change(value) if value else value
    if isinstance(value, list):
        return [_walk(part, change) for part in value]
    if isinstance(value, dict):
        return {name: part if name in _NAMES else _walk(part, change) for name, part in value.items()}
    return value


def _written(name: bytes, body: Any) -> bytes:
    head = b"event: %b\n" % name if name else b""
    return b"%bdata: %b\n\n" % (head, _encode(body))


Slot = tuple[str, Any, str]  # which text, and where in the event it grows
Found = tuple[list[Slot], list[str], bool]  # texts that grow, texts that end, and whether the event has texts whole


def _chat(body: Any) -> Found:
    grown: list[Slot] = []
    ended: list[str] = []
    for choice in body.get("choices") or []:
        at, delta = choice.get("index", 0), choice.get("delta")
        if isinstance(delta, dict):
            grown += [(f"{name}{at}", delta, name) for name in ("content", "refusal") if delta.get(name)]
            for tool in delta.get("tool_calls") or []:
                function = tool.get("function") or {}
                if function.get("arguments"):
                    grown.append((f"tool{at}.{tool.get('index', 0)}", function, "arguments"))
        if choice.get("finish_reason"):
            ended += [f"{name}{at}" for name in ("content", "refusal")] + [f"tool{at}.{n}" for n in range(128)]
    return grown, ended, False


def _completions(body: Any) -> Found:
    choices = body.get("choices") or []
    grown: list[Slot] = [(f"text{c.get('index', 0)}", c, "text") for c in choices if c.get("text")]
    return grown, [f"text{c.get('index', 0)}" for c in choices if c.get("finish_reason")], False


def _messages(body: Any) -> Found:
    at, delta = f"block{body.get('index', 0)}", body.get("delta")
    if body.get("type") == "content_block_delta" and isinstance(delta, dict):
        name = next((name for name in ("text", "partial_json", "thinking") if delta.get(name)), "")
        return ([(at, delta, name)] if name else []), [], False
    return [], [at] if body.get("type") == "content_block_stop" else [], False


def _responses(body: Any) -> Found:
    """Its last events say once more what its deltas said."""
    kind = str(body.get("type", ""))
    at = f"{body.get('output_index', 0)}.{body.get('content_index', 0)}"
    if kind.endswith(".delta") and isinstance(body.get("delta"), str):
        return [(at, body, "delta")], [], False
    return [], [at] if kind.endswith(".done") else [], kind.endswith((".done", ".completed"))


def _gemini(body: Any) -> Found:
    grown: list[Slot] = []
    ended: list[str] = []
    for candidate in body.get("candidates") or []:
        at = f"text{candidate.get('index', 0)}"
        parts = (candidate.get("content") or {}).get("parts") or []
        grown += [(at, part, "text") for part in parts if part.get("text")]
        if candidate.get("finishReason"):
            ended.append(at)
    return grown, ended, False


def _nothing(_: Any) -> Found:
    return [], [], True


_SLOTS: dict[Wire, Callable[[Any], Found]] = dict.fromkeys(Wire, _nothing) | {
    Wire.CHAT: _chat,
    Wire.COMPLETIONS: _completions,
    Wire.MESSAGES: _messages,
    Wire.RESPONSES: _responses,
    Wire.GEMINI: _gemini,
}
