"""How full limits are: what data planes count, and what the ledger knows of days and months. Pure.

Called by control/gateway.py. Decides that the higher of the two holds: a data plane that has just started has seen
nobody yet, and the ledger is a moment behind. Of a level without a name each one is told of by itself, fullest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.store.counters.base import NEVER, month_start, span
from headrace.types.gateway import Counted, Level, Limit, Window

Used = Mapping[str, tuple[int, int, float]]  # calls, tokens and cost of each one
_PLACE = {Counted.REQUESTS: 0, Counted.TOKENS: 1, Counted.COST: 2}
EVERYONE = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One who is counted. `ends`: when it begins anew; 0: it does not."""

    who: str
    used: float
    ends: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fullness:
    limit: Limit
    held: tuple[Held, ...]  # fullest first; empty: nobody has come

    @property
    def part(self) -> float:
        """Of the fullest."""
        if not self.held:
            return 0.0
        return self.held[0].used / self.limit.amount if self.limit.amount else 1.0


def fullness(
    limits: Iterable[Limit],
    fills: Iterable[Mapping[str, Any]],
    used: Callable[[Level, float], Used],
    *,
    hashed: Callable[[str], str],
    now: float,
) -> tuple[Fullness, ...]:
    """`fills`: as all data planes tell at /limits; `used`: as the ledger knows, at a level, since a time."""
    counted: dict[tuple[str, str, str], dict[str, float]] = {}
    for fill in fills:
        of = counted.setdefault((fill["counted"], fill["level"], fill["window"]), {})
        of[fill["who"]] = max(of.get(fill["who"], 0.0), float(fill["used"]))
    read: dict[tuple[Level, Window], Used] = {}
    made = []
    for limit in limits:
        window = window_of(limit)
        amounts = dict(counted.get((limit.counted.value, limit.level.value, window.value if window else ""), {}))
        if window in (Window.DAY, Window.MONTH) and window is not None:
            if (limit.level, window) not in read:
                read[limit.level, window] = used(limit.level, _start(window, now))
            _raise(amounts, read[limit.level, window], _PLACE[limit.counted])
        end = span(window, now).end
        made.append(_of(limit, amounts, 0.0 if end == NEVER else end, hashed))
    return tuple(made)


def window_of(limit: Limit) -> Window | None:
    """As traffic/limit.py reads it."""
    return None if limit.counted is Counted.CONCURRENCY else limit.window or Window.MINUTE


def _raise(amounts: dict[str, float], known: Used, place: int) -> None:
    for who, spent in known.items():
        if who:
            amounts[who] = max(amounts.get(who, 0.0), float(spent[place]))


def _of(limit: Limit, amounts: Mapping[str, float], end: float, hashed: Callable[[str], str]) -> Fullness:
    named = hashed(limit.who) if limit.level is Level.USER and limit.who else limit.who
    held = [
        Held(who=limit.who or who, used=amount, ends=end)
        for who, amount in amounts.items()
        if not named or who.lower() == named.lower()
    ]
    return Fullness(limit=limit, held=tuple(sorted(held, key=lambda each: (-each.used, each.who))))


def _start(window: Window, now: float) -> float:
    number = span(window, now).number
    return number * 86_400.0 if window is Window.DAY else month_start(number)
