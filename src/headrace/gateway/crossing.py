"""From the caller's form of a call to another one that an upstream speaks, and back.

Called by reach.py where the two differ. Decides which form is crossed to.
"""

from __future__ import annotations

from typing import Protocol

from headrace.gateway.dialects.base import Asked, Dialect
from headrace.types.errors import BadInput
from headrace.types.gateway import Wire


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


def crossing(wire: Wire, speaks: frozenset[Wire], asked: Asked) -> Crossing:
    """Raises BadInput where there is no way across."""
    there = ", ".join(sorted(speaks))
    raise BadInput(
        f"model {asked.model!r} is served by an upstream that speaks {there}, not {wire.value}", field="model"
    )
