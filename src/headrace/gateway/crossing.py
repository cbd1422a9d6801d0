"""From the caller's form of a call to another one that an upstream speaks, and back.

Called by reach.py where the two differ. Decides which form is crossed to, and what is answered here because it cannot
be asked there. translate/ does the rest.
"""

from __future__ import annotations

import time
from typing import Protocol

from headrace.gateway.dialects.anthropic_count import estimate
from headrace.gateway.dialects.base import Asked, Dialect
from headrace.gateway.translate.crossed import Crossed, target_of
from headrace.types.errors import BadInput
from headrace.types.gateway import Wire

NO_SAMPLING = "2026-10-21"  # from this version of its interface on, Anthropic refuses temperature and its like


class Crossing(Protocol):
    """Of one call. `lost`: what of the request has no place in the other form."""

    theirs: Dialect
    lost: tuple[str, ...]

    def request(self, model: str) -> bytes: ...

    def answer(self, body: bytes) -> bytes: ...

    def event(self, name: bytes, data: bytes) -> bytes:
        """Whole events for the caller; may be none."""
        ...

    def close(self) -> bytes:
        """What the caller's form ends with."""
        ...


def crossing(wire: Wire, speaks: frozenset[Wire], asked: Asked, *, version: str = "") -> Crossing:
    """`version`: of the upstream's interface. Raises BadInput where there is no way across."""
    target = target_of(wire, speaks)
    if target is None:
        there = ", ".join(sorted(speaks))
        raise BadInput(
            f"model {asked.model!r} is served by an upstream that speaks {there}, not {wire.value}", field="model"
        )
    return Crossed(asked, wire, target, now=int(time.time()), sampling=version < NO_SAMPLING)


def counted_here(wire: Wire, speaks: frozenset[Wire], asked: Asked) -> bytes | None:
    """Chat applications ask how many tokens a prompt has, of any model; an upstream that cannot say is not asked."""
    return estimate(asked) if wire is Wire.COUNT_TOKENS and wire not in speaks else None
