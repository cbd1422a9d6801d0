"""Which upstreams a call took, for its line: written down where it was more than one, or where none answered. Pure.

Called by reach.py and, at the end of a call, by settle.py and own.py. A call that the first upstream answered has none:
its line names that one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from headrace.gateway.choose import Ready
from headrace.types.gateway import Attempt

OK, GIVEN_UP = "ok", "given_up"  # how an attempt ended, beside the names of failures
WORDS = 500  # characters of what an upstream said of its failure


def over(found: list[Attempt], ready: Ready, outcome: str, *, now_ms: float, why: str) -> None:
    """A stream that had begun well, if it was noted."""
    for place, attempt in enumerate(found):
        same = (attempt.provider, attempt.model) == (ready.way.provider, ready.way.model)
        if same and attempt.outcome == OK:
            ms = round(now_ms - attempt.at_ms, 3)
            found[place] = replace(attempt, ms=ms, outcome=outcome, error=why[:WORDS])


def in_order(found: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """In which they began."""
    return tuple(sorted(found, key=lambda attempt: attempt.at_ms))
