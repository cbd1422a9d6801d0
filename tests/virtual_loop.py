"""An event loop whose time is moved by its own timers: what takes an hour by the clock is over in a millisecond."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """`now` may also be moved by hand, as by code that holds the loop for so long."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            return super().select(None)  # no timer: a thread is at work
        found = super().select(0)
        if not found and timeout > 0:
            self._loop.now += timeout
        return found
