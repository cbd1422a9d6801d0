"""When a message that did not arrive is sent again. Pure.

Called by deliver.py. Ten attempts within about a day and a half: a receiver may be away for a night. The waits are
spread, so that receivers that came back together are not asked together.
"""

from __future__ import annotations

FIRST_SECONDS, GROWTH, LONGEST_SECONDS = 5.0, 4.0, 8 * 3600.0
ATTEMPTS = 10
SPREAD = 0.25
GONE = 410  # the receiver says that it is no more


def wait_after(attempts: int, *, random: float, retry_after: str = "") -> float:
    """Seconds until the next attempt, after so many; `random` in [0, 1). The receiver's own wish counts, in bounds."""
    usual = min(LONGEST_SECONDS, FIRST_SECONDS * GROWTH ** (attempts - 1))
    asked = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
    return min(max(usual * (1 - SPREAD + 2 * SPREAD * random), asked), LONGEST_SECONDS * (1 + SPREAD))
