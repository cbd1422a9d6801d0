"""What a program does within one call: which of its parts ran when, inside which other, with what.

Made by host.py. DSPy tells the parts that are watched here through callbacks of their own, and nobody else: so a
program that is a single question is not watched at all: that question is told by who answers it (serving/desk.py).
Decides how much of a value is told.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import dspy
import msgspec
from dspy.utils.callback import ACTIVE_CALL_ID, BaseCallback

MOST = 64  # steps of one call
CHARACTERS = 16 << 10  # of a value
_Step = list[Any]  # id, within, kind, name, began, ended, error, input, output: serving/steps.py reads it


@dataclass(slots=True)
class Notes:
    """Of one call."""

    open: dict[str, _Step] = field(default_factory=dict)
    steps: list[_Step] = field(default_factory=list)

    def begin(self, number: str, kind: str, name: str, given: dict[str, Any]) -> None:
        if len(self.steps) < MOST:
            step = [number, ACTIVE_CALL_ID.get() or "", kind, name, time.monotonic(), 0.0, "", _text(given), ""]
            self.open[number] = step
            self.steps.append(step)

    def end(self, number: str, outputs: Any, exception: BaseException | None) -> None:
        if (step := self.open.pop(number, None)) is not None:
            step[5] = time.monotonic()
            step[6] = "" if exception is None else f"{type(exception).__name__}: {exception}"[:500]
            step[8] = "" if outputs is None else _text(outputs)


NOTES: ContextVar[Notes | None] = ContextVar("headrace_notes", default=None)


class Tracer(BaseCallback):  # type: ignore[misc]
    def __init__(self, names: dict[int, str]) -> None:
        self._names = names

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        if (notes := NOTES.get()) is not None:
            notes.begin(call_id, "module", self._names.get(id(instance), type(instance).__name__), _named(inputs))

    def on_module_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        if (notes := NOTES.get()) is not None:
            notes.end(call_id, outputs, exception)

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        if (notes := NOTES.get()) is not None:
            notes.begin(call_id, "tool", str(instance.name), _named(inputs))

    def on_tool_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        if (notes := NOTES.get()) is not None:
            notes.end(call_id, outputs, exception)


def watch(module: dspy.Module) -> bool:
    """Whether there is more to tell than its questions. The parts know from now on whom to tell."""
    parts = list(module.named_sub_modules())
    if len(parts) < 2:
        return False
    names = {id(part): name.removeprefix("self").lstrip(".") or type(part).__name__ for name, part in parts}
    tracer = Tracer(names)
    for _, part in parts:
        part.callbacks = [*getattr(part, "callbacks", ()), tracer]
        for tool in _tools(part):
            object.__setattr__(tool, "callbacks", [tracer])
    return True


@contextmanager
def noted(watched: bool) -> Iterator[list[_Step]]:
    """The steps of the call that runs within."""
    if not watched:
        yield []
        return
    notes = Notes()
    token = NOTES.set(notes)
    try:
        yield notes.steps
    finally:
        NOTES.reset(token)


def _tools(part: Any) -> list[Any]:
    tools = getattr(part, "tools", None)
    found = tools.values() if isinstance(tools, dict) else tools if isinstance(tools, list | tuple) else ()
    return [tool for tool in found if isinstance(tool, dspy.Tool)]


def _named(inputs: dict[str, Any]) -> dict[str, Any]:
    """What a part was called with: DSPy gives the arguments of its own wrapper."""
    named = inputs.get("kwargs")
    return named if isinstance(named, dict) else inputs


def _text(value: Any) -> str:
    """JSON; of a prediction, its fields."""
    fields = dict(value.items()) if isinstance(value, dspy.Prediction) else value
    text = msgspec.json.encode(fields, enc_hook=str).decode()
    return text if len(text) <= CHARACTERS else ""
