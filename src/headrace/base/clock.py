"""Time as a dependency, so that tests move it by hand instead of sleeping."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch; may jump when the machine's clock is set."""
        ...

    def steady(self) -> float:
        """Seconds from an arbitrary start; never goes back. For durations."""
        ...

    def sleep(self, seconds: float) -> None:
        """Blocks this thread."""
        ...


class SystemClock:
    """The system's functions themselves: a call reads the time ten times, and each frame between costs as much."""

    now = staticmethod(time.time)
    steady = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


class ManualClock:
    """For tests: both clocks stand still until they are moved."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.time = start

    def now(self) -> float:
        return self.time

    def steady(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.move(seconds)

    def move(self, seconds: float) -> None:
        self.time += seconds
