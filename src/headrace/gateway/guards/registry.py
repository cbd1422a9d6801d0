"""The kinds of guards, one row each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.gateway.guards.base import Guard as Checker
from headrace.gateway.guards.judge import Judge, judge_of
from headrace.gateway.guards.pii import Pii
from headrace.gateway.guards.shape import Shape
from headrace.gateway.guards.words import Words
from headrace.types.errors import BadInput
from headrace.types.gateway import Guard

KINDS: dict[str, Callable[[dict[str, Any]], Checker | Judge]] = {
    "pii": Pii,
    "words": Words,
    "json_schema": Shape,
    "judge": judge_of,
}


def build(guard: Guard) -> Checker | Judge:
    """One that looks for itself, or one that must be asked. Raises BadInput naming the part."""
    made = KINDS.get(guard.kind)
    if made is None:
        raise BadInput(f"kind is {guard.kind!r}; allowed: {', '.join(KINDS)}", field="guards")
    try:
        return made(guard.settings)
    except BadInput as error:
        raise BadInput(f"guard {guard.kind!r}: {error.message}", field=error.field, hint=error.hint) from error
