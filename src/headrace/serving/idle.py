"""Work that may wait, done in slices while the event loop has nothing else to do.

Used by shadow.py. Decides when a slice may run: the loop has just asked the system for news twice, and no call was in
it. A loop that is busy all the time runs none, and whoever wants something done here must bound what it puts off.
A slice cannot be interrupted, so it has to be short: a call that comes in the middle of one waits for its rest. All
slices together take a share of the time at most, so that at any rate of calls only so many meet one, and what queues
behind those stays as short as it was.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from headrace.serving.turn import Turn

PAUSE = 0.001  # seconds, after the loop was found busy
SHARE = 0.05  # of the time that slices may take
REST = 0.001  # seconds that are worth a timer, whose grain is a millisecond; less is saved up


class Worker(Protocol):
    def step(self) -> float | None:
        """One slice. Returns the seconds after which it wants the next one; None: when it says `wants` again."""
        ...


class Idle:
    """`now`: seconds on a clock that is finer than the loop's, by which slices are measured."""

    def __init__(self, turn: Turn, now: Callable[[], float] = perf_counter) -> None:
        self._turn, self._now = turn, now
        self._owed = 0.0  # seconds of rest
        self.calls = 0  # that whoever offers work has seen: not all protocols have turns
        self._seen = -1
        self._waiting: deque[Worker] = deque()
        self._looking = False

    def wants(self, worker: Worker) -> None:
        """To be given slices. At any time, also again."""
        if worker not in self._waiting:
            self._waiting.append(worker)
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Two turns of the loop from here, so that one look for news lies between, and what it brings has begun."""
        self._seen = self._activity()
        asyncio.get_running_loop().call_soon(self._look_again)

    def _look_again(self) -> None:
        asyncio.get_running_loop().call_soon(self._decide)

    def _decide(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            self._looking = False
        elif self._activity() != self._seen:
            loop.call_later(PAUSE, self._look)
        else:
            began = self._now()
            try:
                self._slice()
            finally:  # a slice that fails must not end all others
                self._owed += (self._now() - began) * (1 / SHARE - 1)
                self._rest(loop)

    def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._owed < REST:
            loop.call_soon(self._look)
        else:
            loop.call_later(self._owed, self._look)
            self._owed = 0.0

    def _slice(self) -> None:
        worker = self._waiting.popleft()
        pause = worker.step()
        if pause == 0.0:
            self._waiting.append(worker)
        elif pause is not None:
            asyncio.get_running_loop().call_later(pause, self.wants, worker)

    def _activity(self) -> int:
        return self._turn.count + self.calls
