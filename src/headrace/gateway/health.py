"""How an upstream model is doing, as this process has seen it. Pure: times are given.

Called by choose.py and reach.py. Decides when a way is left alone: after `failures` in a row, or for as long as the
upstream asked for (Retry-After); then one trial call goes through, and decides. A stream is under way until its last
byte, and one that breaks in the middle is a failure in the same row. Kept over plans.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from headrace.types.gateway import Breaker

MEMORY_SECONDS = 30.0  # of the moving average: what is older counts less than a third
LONGEST_SECONDS = 300.0  # that a Retry-After is believed


@dataclass(slots=True)
class Health:
    """`seconds`: moving average of the time to the first byte; 0 while there is none."""

    inflight: int = 0
    row: int = 0  # failures since the last success
    closed_until: float = 0.0  # no calls before
    trial: bool = False  # one call is finding out whether it is well again
    seconds: float = 0.0
    seen: float = 0.0  # when the average was last moved
    failed_last: str = ""
    key_refused: bool = False  # by the last failure of the row
    outcomes: dict[str, int] = field(default_factory=dict)  # of attempts: ok, or why they failed

    def available(self, now: float) -> bool:
        return now >= self.closed_until and not self.trial

    def begin(self, now: float) -> None:
        self.inflight += 1
        if self.row and self.closed_until and now >= self.closed_until:
            self.trial = True

    def end(self, outcome: str) -> None:
        """Of every call, however it went; of a stream when it is over."""
        self.inflight -= 1
        self.trial = False
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def answered(self, seconds: float, now: float) -> None:
        """The first byte of something good: others may ask, but the row ends only when an answer is whole."""
        self.closed_until, self.trial = 0.0, False
        weight = math.exp(-(now - self.seen) / MEMORY_SECONDS) if self.seconds else 0.0
        # A slow answer is believed at once, as in Finagle's peak EWMA: better to leave too early than to queue up.
        self.seconds = seconds if seconds > self.seconds else self.seconds * weight + seconds * (1 - weight)
        self.seen = now

    def succeeded(self) -> None:
        """A whole answer."""
        self.row, self.failed_last = 0, ""

    def failed(self, why: str, breaker: Breaker, now: float, *, retry_after: float = 0.0) -> None:
        self.row += 1
        self.failed_last = why
        if retry_after > 0:
            self.closed_until = max(self.closed_until, now + min(retry_after, LONGEST_SECONDS))
        if self.row >= breaker.failures or self.trial:
            self.closed_until = max(self.closed_until, now + breaker.cooldown_seconds)
