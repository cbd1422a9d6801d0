"""Prompts of a chat endpoint that mean the same as one that was answered before. Pure, but for what it remembers.

Called by meaning.py. Decides which calls may be answered so, and what two prompts must share: everything but the words
of the last message (version, form, parameters, system prompt, conversation so far, tenant), and of those words the
numbers, addresses, quotations, personal data and denials. A model of meanings takes "is it safe" and "is it not safe"
for the same (cosine 0.99), 2023 for 2024 (0.94). Where the answer itself is, the exact cache knows: here are only its
keys.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace as changed
from numpy.typing import NDArray

from headrace.base.scrub import spans
from headrace.gateway.cache import key_of
from headrace.gateway.dialects.base import Asked
from headrace.gateway.dialects.fields import value
from headrace.gateway.effects import without_effects
from headrace.traffic.keys import Caller
from headrace.types.errors import BadInput
from headrace.types.gateway import ChatCache, Guard, Wire

MOST_ALIKE = 1_000  # prompts that share all but their words; the oldest goes first
MOST = 10_000  # of an endpoint
CLOSEST = 8  # that are looked at, of those that are close enough
LOWEST = 0.5
_WITH_TOOLS = ("tools", "functions", "tool_choice")
_TEXTS = ("text", "input_text", "output_text")
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_NAMED = re.compile(r"""https?://\S+|"[^"]+"|`[^`]+`|“[^”]+”|«[^»]+»""")
_DENIAL = re.compile(r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|except|cannot|unless)\b|n['’]t\b")

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Prompt:
    """`scope`: of all that must be the same. `text`: what may be said in other words."""

    scope: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Near:
    """A prompt and what it means."""

    prompt: Prompt
    vector: Vector


def check_cache(cache: ChatCache, guards: Sequence[Guard]) -> None:
    """Raises BadInput."""
    if cache.semantic and any(guard.kind == "judge" and guard.before for guard in guards):
        raise BadInput(
            "a judge of what callers say would be asked before each look into the cache",
            field="cache.semantic",
            hint="leave one of them out, or judge answers alone: before: false",
        )
    if cache.semantic and not LOWEST <= cache.semantic <= 1:
        raise BadInput(f"cache.semantic is {cache.semantic!r}; allowed: 0, or {LOWEST} to 1", field="cache.semantic")
    if cache.semantic and cache.ttl_seconds <= 0:
        raise BadInput("cache.semantic needs cache.ttl_seconds", field="cache.ttl_seconds")
    for name in ("check", "distance"):
        if not 0 <= getattr(cache, name) <= 1:
            raise BadInput(f"cache.{name} is {getattr(cache, name)!r}; allowed: 0 to 1", field=f"cache.{name}")


def prompt_of(package: str, wire: Wire, asked: Asked, caller: Caller, *, shared: bool) -> Prompt | None:
    """None for a call with tools, images, several answers, or effects, and for one that does not end with a text of
    the user's."""
    fields = asked.fields
    if without_effects(wire, asked) is None or any(value(fields, name) for name in _WITH_TOOLS):
        return None
    place = _PLACES.get(wire)
    if place is None or value(fields, "n") not in (None, 1):
        return None
    name, split = place
    found = split(value(fields, name))
    if found is None:
        return None
    text, rest = found
    left = changed(asked, fields={**fields, name: msgspec.Raw(msgspec.json.encode(rest))}, document=None)
    return Prompt(key_of(package, wire, left, caller, shared=shared), text)


def alike(one: str, other: str) -> bool:
    """What no vector tells: the same numbers, addresses, quotations and personal data, and as many denials."""
    return _marks(one) == _marks(other)


@dataclass(slots=True)
class _Shelf:
    """Prompts of one scope. What is put in after the last place takes the first."""

    vectors: Vector = field(default_factory=lambda: np.zeros((8, 0), dtype=np.float32))
    entries: list[tuple[bytes, str]] = field(default_factory=list)  # key and text
    places: dict[bytes, int] = field(default_factory=dict)
    put: int = 0

    def add(self, near: Near, key: bytes) -> int:
        """How many more there are."""
        if not self.vectors.shape[1]:
            self.vectors = np.zeros((8, len(near.vector)), dtype=np.float32)
        place = self.places.get(key)
        if place is None:
            place, self.put = self.put % MOST_ALIKE, self.put + 1
        grows = place == len(self.entries)
        if grows:
            self.entries.append((b"", ""))
            if place == len(self.vectors):
                self.vectors = np.concatenate([self.vectors, np.zeros_like(self.vectors)])
        else:
            self.places.pop(self.entries[place][0], None)
        self.vectors[place], self.entries[place], self.places[key] = near.vector, (key, near.prompt.text), place
        return int(grows)

    def drop(self, key: bytes) -> None:
        """Its place stays, and is near to nothing."""
        place = self.places.pop(key, None)
        if place is not None:
            self.vectors[place], self.entries[place] = 0.0, (b"", "")

    def close(self, vector: Vector, threshold: float) -> Iterator[tuple[float, bytes, str]]:
        scores = self.vectors[: len(self.entries)] @ vector
        for place in np.argsort(-scores)[:CLOSEST]:
            if scores[place] < threshold:
                return
            yield (float(scores[place]), *self.entries[int(place)])


class Shelves:
    """Of one endpoint. The scope that nobody asked for longest goes first."""

    def __init__(self) -> None:
        self._shelves: OrderedDict[bytes, _Shelf] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, near: Near, key: bytes) -> None:
        shelf = self._shelves.get(near.prompt.scope)
        if shelf is None:
            shelf = self._shelves[near.prompt.scope] = _Shelf()
        self._shelves.move_to_end(near.prompt.scope)
        self._count += shelf.add(near, key)
        while self._count > MOST:
            _, gone = self._shelves.popitem(last=False)
            self._count -= len(gone.entries)

    def drop(self, near: Near, key: bytes) -> None:
        """The answer is gone: it must not stand before others that are as near."""
        if (shelf := self._shelves.get(near.prompt.scope)) is not None:
            shelf.drop(key)

    def close(self, near: Near, threshold: float) -> Iterator[tuple[float, bytes]]:
        """The closest first: how close, and the key of its answer."""
        shelf = self._shelves.get(near.prompt.scope)
        if shelf is None:
            return
        self._shelves.move_to_end(near.prompt.scope)
        for score, key, text in shelf.close(near.vector, threshold):
            if alike(text, near.prompt.text):
                yield min(score, 1.0), key


def _marks(text: str) -> tuple[int, list[str]]:
    persons = [text[start:end] for start, end, _ in spans(text)]
    return len(_DENIAL.findall(text.lower())), sorted([*_NUMBER.findall(text), *_NAMED.findall(text), *persons])


Split = tuple[str, Any] | None  # the words, and all else of the conversation


def _said(given: Any) -> Split:
    """Of a list of messages, the last of which is the user's."""
    if isinstance(given, str):
        return given, None
    if not isinstance(given, list) or not given or not all(map(_plain, given)) or given[-1].get("role") != "user":
        return None
    last = dict(given[-1])
    content = last.pop("content")
    if isinstance(content, list):
        if len(content) != 1:
            return None
        part = dict(content[0])
        content, last["content"] = part.pop("text"), [part]
    return content, [*given[:-1], last]


def _prompt(given: Any) -> Split:
    return (given, None) if isinstance(given, str) else None


def _plain(message: Any) -> bool:
    """Nothing but texts: no picture, no file, no tool."""
    if not isinstance(message, dict) or message.get("role") == "tool" or message.get("tool_calls"):
        return False
    content = message.get("content")
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") in _TEXTS and isinstance(part.get("text"), str) for part in content
    )


_PLACES: dict[Wire, tuple[str, Callable[[Any], Split]]] = {
    Wire.CHAT: ("messages", _said),
    Wire.MESSAGES: ("messages", _said),
    Wire.RESPONSES: ("input", _said),
    Wire.COMPLETIONS: ("prompt", _prompt),
}
