"""The nouns of translation: a bridge from the form that a caller speaks to the one that an upstream speaks.

A bridge is three pure functions on parsed JSON: of a request, of a whole answer, and of a stream's events one by one.
OpenAI's chat is the middle: what has no bridge of its own goes over chat (crossed.py). What cannot cross is said by
its name in `Lost`, never dropped in silence; docs/dialects.md lists it all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from headrace.types.gateway import Wire

Document = dict[str, Any]
_MANY, _LONG = 32, 64
_ODD = re.compile(r"[^\x21-\x2b\x2d-\x7e]")  # spaces, commas, and all that is not ASCII
END: Document = {}  # of a chat's stream: what is written as [DONE]


class Lost:
    """Names of what could not cross, each once, in the order in which they were met. They go into a header and some are
    the caller's own, so that they are few, short and plain."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def __call__(self, name: str) -> None:
        if len(self._names) < _MANY:
            self._names[_ODD.sub("?", name[:_LONG])] = None

    def rest(self, document: Document, known: frozenset[str], within: str = "") -> None:
        """Every field that no translation knows, unless it says nothing."""
        for name, value in document.items():
            if name not in known and value is not None:
                self(within + name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._names)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a request does not say itself."""

    model: str  # of the upstream
    now: int  # seconds since the epoch
    sampling: bool = True  # whether the upstream takes temperature and its like


class Rewriter(Protocol):
    """Of one stream."""

    def feed(self, event: Document) -> list[Document]: ...

    def end(self) -> list[Document]:
        """The upstream closed the connection. What is still owed to the caller, if the answer was whole."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """`answer` and `stream` are given the caller's request, since some of what is answered was asked for in it."""

    source: Wire  # what the caller speaks
    target: Wire  # what the upstream speaks
    request: Callable[[Document, Lost, About], Document]
    answer: Callable[[Document, Document, About], Document]
    stream: Callable[[Document, About], Rewriter]


def data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 of a `data:` address; None for one that has to be fetched."""
    if not url.startswith("data:"):
        return None
    head, _, data = url[5:].partition(",")
    media, _, coding = head.partition(";")
    return (media or "text/plain", data) if coding.endswith("base64") else None


def arguments_of(text: Any) -> Document | None:
    """Of a call of a tool, which chat writes as text. None when a model wrote no JSON object."""
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, TypeError):
        return None


def written(arguments: Any) -> str:
    return msgspec.json.encode(arguments if isinstance(arguments, dict) else {}).decode()


def parts_of(content: Any) -> list[Document]:
    """A message's content as a list, however it was written."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def text_of(content: Any, between: str = "\n\n") -> str:
    return between.join(part["text"] for part in parts_of(content) if isinstance(part.get("text"), str))


def messages_of(document: Document, name: str = "messages") -> list[Document]:
    found = document.get(name)
    return [message for message in found if isinstance(message, dict)] if isinstance(found, list) else []


def dict_of(document: Document, name: str) -> Document:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def number(document: Document, name: str) -> int:
    found = document.get(name)
    return int(found) if isinstance(found, int | float) else 0
