"""Whether a call is asked again, and after which pause. Pure: times and chance are given.

Called by reach.py. A retry needs three things: a failure that may pass, an attempt left, and a share of the endpoint's
budget; without the last, a broken upstream would get its load twice when it can bear it least.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.types.gateway import Failure, Retries

RESERVE = 10.0  # retries that are always possible, so that a quiet endpoint has some too


@dataclass(slots=True)
class Budget:
    """Of one endpoint, in calls: each call puts in its share, each retry takes one out (as in Finagle and gRPC)."""

    left: float = RESERVE

    def called(self, share: float) -> None:
        self.left = min(self.left + share, RESERVE * 10)

    def take(self) -> bool:
        if self.left < 1 - 1e-9:  # shares are added up
            return False
        self.left -= 1
        return True


def pause(retries: Retries, failure: Failure, made: int, *, retry_after: float, draw: Callable[[], float]) -> float:
    """Seconds before attempt number `made` + 1 on the same way; negative: not again. Full jitter; an upstream's own
    Retry-After counts when it is short enough to wait for, and else ends it here: another way may be free now."""
    if made >= retries.attempts or failure not in retries.on:
        return -1.0
    if retry_after > 0:
        return retry_after if retry_after * 1000 <= retries.cap_ms else -1.0
    ceiling: float = min(retries.cap_ms, retries.base_ms * 2 ** (made - 1))
    return draw() * ceiling / 1000
