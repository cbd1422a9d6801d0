"""Calls that are put to a shadow too: which ones, and what became of them.

Used by serving/shadow.py and gateway/shadow.py, which copy them, and by release/pairs.py, which waits for the copies:
one rule for all three. Pure, but for the counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from headrace.traffic.meter import Meter, Reading
from headrace.traffic.route import Header, shadowed
from headrace.types.traffic import Reason, Shadow

DROPPED = "dropped"  # beside the statuses of calls
_ATTRIBUTE = 200  # characters
_CHOSEN = (Reason.FORCED, Reason.PINNED, Reason.GATE)  # by who asks: no call of the endpoint's own traffic

Queue = Callable[[], Iterable[tuple[str, int]]]  # calls that wait, by endpoint
Counts = Counter[tuple[str, str, str]]  # endpoint, variant, outcome


def taken(shadow: Shadow, *, baseline: str, variant: str, reason: str, trace_id: str) -> bool:
    """The baseline's own calls, in the shadow's share."""
    return variant == baseline and reason not in _CHOSEN and shadowed(shadow, trace_id)


def attributes_of(shadow: Shadow, header: Header) -> dict[str, str]:
    """The headers of a call by which its pair may be looked at."""
    return {name: told[:_ATTRIBUTE] for name in shadow.attributes if (told := header(name))}


class Outcomes:
    """Of all shadows of a plane."""

    def __init__(self, meter: Meter) -> None:
        self.counts: Counts = Counter()
        self.queues: list[Queue] = []  # an endpoint that is asked in two ways has one in each
        self._told: Counts = Counter()
        meter.watch(self._readings)

    def count(self, endpoint: str, variant: str, outcome: str, by: int = 1) -> None:
        self.counts[endpoint, variant, outcome] += by

    def dropped(self) -> dict[tuple[str, str], int]:
        """By endpoint and variant, since this was last asked."""
        found = {
            (endpoint, variant): count - self._told[endpoint, variant, outcome]
            for (endpoint, variant, outcome), count in self.counts.items()
            if outcome == DROPPED
        }
        self._told = Counter(self.counts)
        return {key: count for key, count in found.items() if count}

    def _readings(self) -> Iterable[Reading]:
        for (endpoint, variant, outcome), count in sorted(self.counts.items()):
            yield "headrace_shadow_total", {"endpoint": endpoint, "variant": variant, "outcome": outcome}, count
        waiting: Counter[str] = Counter()
        for queue in self.queues:
            waiting.update(dict(queue()))
        for endpoint, count in sorted(waiting.items()):
            yield "headrace_shadow_queued", {"endpoint": endpoint}, count
