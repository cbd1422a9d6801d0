"""What checks a text on its way to a model or back: one file a kind, one row in registry.py.

Called by guard.py, which finds the texts. A guard names places in a text and what is put there, or says why the call
must not go on. It is closed: what it cannot check does not pass. What it needs to see at once, it says; a stream is
held back by that much.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from headrace.types.errors import BadInput

WHOLE = 1 << 30  # characters: nothing is released before the end


class Span(NamedTuple):
    start: int
    end: int
    instead: str


@dataclass(slots=True)
class Memory:
    """Of one call: what stands for what, so that it can be put back. `told`: what guards did, for the journal."""

    originals: dict[str, str] = field(default_factory=dict)  # by what stands for them
    stand_ins: dict[str, str] = field(default_factory=dict)  # the other way
    told: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        self.told[what] = self.told.get(what, 0) + 1


class Guard(Protocol):
    hold: int  # characters that it must see at once

    def before(self, text: str, memory: Memory) -> list[Span]:
        """In what a caller says. Raises Blocked."""
        ...

    def after(self, text: str, memory: Memory) -> list[Span]:
        """In what a model answers. Raises Blocked."""
        ...

    def end(self, text: str) -> None:
        """The whole of one answer's text. Raises Blocked."""
        ...


def number(settings: dict[str, Any], name: str, usual: int, *, most: int) -> int:
    given = settings.get(name, usual)
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= most:
        raise BadInput(f"{name} is {given!r}; allowed: 1 to {most}", field=name)
    return given


def choice(settings: dict[str, Any], name: str, *allowed: str) -> str:
    """The first is the usual one."""
    given = settings.get(name, allowed[0])
    if given not in allowed:
        raise BadInput(f"{name} is {given!r}; allowed: {', '.join(allowed)}", field=name)
    return str(given)


def texts(settings: dict[str, Any], name: str) -> list[str]:
    given = settings.get(name, [])
    if not isinstance(given, list) or not all(isinstance(each, str) and each for each in given):
        raise BadInput(f"{name} is {given!r}; allowed: a list of texts", field=name)
    return given


def only(settings: dict[str, Any], *known: str) -> None:
    if strange := [name for name in settings if name not in known]:
        raise BadInput(f"{strange[0]!r} is not known; allowed: {', '.join(known)}", field=strange[0])
