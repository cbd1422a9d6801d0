"""One turn of the event loop, as far as calls are concerned: what came together is run together.

Opened by api/http/server.py around the calls that it answers in one go; used by batch.py. Decides when small models
run: inside a turn, after all its calls have been decoded; outside of one, at once. Nothing waits for a timer.

A small model costs 10 µs in a loop of its own and 50 µs between other code, which has thrown it out of the processor's
caches; so one run for the sixteen calls of a turn is cheaper than two runs (docs/design/data-plane.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Turn:
    def __init__(self) -> None:
        self.open = False
        self.count = 0  # times that calls were answered: whoever wants to know whether any were compares it
        self._due: list[Callable[[], None]] = []

    def later(self, work: Callable[[], None]) -> None:
        """Before the turn ends; only while it is open."""
        self._due.append(work)

    @contextmanager
    def opened(self) -> Iterator[None]:
        self.open = True
        try:
            yield
            while self._due:
                due, self._due = self._due, []
                for work in due:
                    work()
        finally:
            self.open = False
