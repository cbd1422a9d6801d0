"""How many may be inside an endpoint at once.

Called by serving/predict.py once the endpoint is known. Decides by the endpoint's limit. Ignores who it is (keys.py)
and what is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headrace.base.secret import Secret
from headrace.types.errors import Overloaded

RETRY_AFTER = 1.0  # seconds; a full gate empties within a few calls


class Gate:
    """Bounds the calls inside one endpoint. Over the limit a call is refused at once: it never waits in a queue.

    A call that timed out still occupies its thread or host, so its place is given back only when the work ends.
    """

    __slots__ = ("inside", "limit", "name")

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.inside = 0

    def enter(self) -> None:
        if self.inside >= self.limit:
            raise self.full(self.inside)
        self.inside += 1

    def leave(self) -> None:
        self.inside -= 1

    def full(self, inside: int) -> Overloaded:
        return Overloaded(
            f"endpoint {self.name!r} already has {inside} calls inside, its limit",
            hint="try again shortly, or raise limits.max_concurrency",
            retry_after=RETRY_AFTER,
        )


def _alone(name: str) -> Gate:
    return Gate(name, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What a data plane is started with: hashes of keys accepted besides the plan's, the key of the virtual keys'
    HMACs, what opens the plan's secrets, and how a gate is made."""

    keys: tuple[str, ...] = ()
    pepper: bytes = b""
    reveal: Callable[[str, Mapping[str, str]], Secret] | None = None  # by name, of those that are sealed in a plan
    gate: Callable[[str], Gate] = _alone


OPEN = Door()
