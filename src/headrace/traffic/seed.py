"""What counters of days and months have used up at least, as the ledger knows it. Pure.

Called by app/limits.py when a plan comes into force and every few seconds. Decides which counters of the limits in
force the ledger can speak of: not minutes, which are over before it has read them, nor calls at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from headrace.store.counters.base import Seed, month_start, span
from headrace.traffic.limit import name_of, whole
from headrace.types.gateway import Counted, Level, Limit, Window

Used = Mapping[str, tuple[int, int, float]]  # calls, tokens and cost of each one
_PLACE = {Counted.REQUESTS: 0, Counted.TOKENS: 1, Counted.COST: 2}


def seeds(limits: Iterable[Limit], used: Callable[[Level, float], Used], now: float) -> list[Seed]:
    """`used`: at a level, since a time."""
    wanted = {(limit.counted, limit.level, limit.window) for limit in limits if limit.counted in _PLACE}
    read: dict[tuple[Level, Window], Used] = {}
    made = []
    for counted, level, window in sorted(wanted, key=str):
        if window is None or window is Window.MINUTE:
            continue
        number, _ = span(window, now)
        if (level, window) not in read:
            read[level, window] = used(level, number * 86_400.0 if window is Window.DAY else month_start(number))
        for who, amounts in read[level, window].items():
            if who:
                amount = whole(counted, amounts[_PLACE[counted]])
                made.append(Seed(name_of(counted, level, who), window, number, amount))
    return made
