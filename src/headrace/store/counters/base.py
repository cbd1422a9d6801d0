"""The contract of the counters, and the windows of time that they count in.

Called by traffic/limit.py and by the three stores beside this file. Decides when a window begins and ends: minutes,
days and months of UTC, so that every process means the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import msgspec

from headrace.types.gateway import Window

UNLIMITED = 1 << 60
LEASE_SECONDS = 900.0  # longer than the longest call: what was taken and never settled is free again after that
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Gauge:
    """One counter that a call is counted by. `hard`: what it may not exceed; UNLIMITED: it is only counted."""

    name: str
    window: Window | None  # None: what is under way now
    hard: int = UNLIMITED


class Span(NamedTuple):
    """One minute, day or month; the seconds since the epoch at which it ends."""

    number: int
    end: float


class Taken(msgspec.Struct, frozen=True):
    """`refused`: the first gauge that was full, -1 when all was taken. `used`: of each gauge, afterwards; of a refused
    call, as they stood. `lease` is what `give` wants; None when nothing was taken."""

    refused: int
    used: tuple[int, ...]
    ends: tuple[float, ...]
    lease: object


@dataclass(frozen=True, slots=True)
class Seed:
    """What a counter has used up at least, as the ledger knows it."""

    name: str
    window: Window
    number: int
    used: int


class Counters(Protocol):
    async def take(self, gauges: Sequence[Gauge], amounts: Sequence[int]) -> Taken:
        """All of it or nothing, in one step. Raises Unavailable when the counters cannot be reached."""
        ...

    def give(self, lease: object, used: Sequence[int]) -> None:
        """What was taken was `used` in truth: less goes back, more is added. Never waits nor raises; once a lease."""
        ...

    async def seed(self, seeds: Sequence[Seed]) -> None:
        """A counter that stands lower is raised: doing it twice is doing it once. Raises Unavailable."""
        ...

    async def close(self) -> None: ...


def span(window: Window | None, now: float) -> Span:
    if window is None:
        return Span(0, NEVER)
    if window is Window.MINUTE:
        number = int(now // 60)
        return Span(number, (number + 1) * 60.0)
    day = int(now // 86_400)
    return Span(day, (day + 1) * 86_400.0) if window is Window.DAY else _month(now)


def _month(now: float) -> Span:
    at = datetime.fromtimestamp(now, UTC)
    number = at.year * 12 + at.month - 1
    return Span(number, month_start(number + 1))


def month_start(number: int) -> float:
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp()
