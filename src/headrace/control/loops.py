"""The clock of the control plane: each loop calls its step in a thread, again and again, never twice at once.

Called by app/control.py: start, stop; the admin API and the console read `states`. Decides when a step comes again:
after its own seconds; at once when it says that there is more; later and later, up to `patience`, while it fails. A
failure is counted, shown and logged (the first, then at each doubling): it is never swallowed, and never ends the loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from headrace.base.clock import Clock
from headrace.base.log import fields
from headrace.types.errors import HeadraceError

LONGEST_WAIT: Final = 30.0
STOP_SECONDS: Final = 5.0  # that steps under way get to end; what they do is safe to break off

log = logging.getLogger("headrace.control.loops")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopState:
    name: str
    seconds: float  # between turns
    turns: int = 0
    failures: int = 0
    failing: int = 0  # in a row, up to now
    error: str = ""  # of the last turn; empty when it went well
    last_time: float = 0.0  # when the last turn ended
    last_seconds: float = 0.0  # how long it took
    slowest_seconds: float = 0.0


class Loop:
    """`step` answers True when it wants to be called again at once."""

    def __init__(
        self,
        name: str,
        step: Callable[[], object],
        *,
        seconds: float,
        clock: Clock,
        patience: float = LONGEST_WAIT,
        rest: float = 0.0,
    ) -> None:
        """`patience`: the longest wait while it fails. `rest`: it waits at least so many times as long as it took."""
        self.state = LoopState(name=name, seconds=seconds)
        self._step, self._clock, self._patience, self._rest = step, clock, patience, rest

    async def run(self, executor: ThreadPoolExecutor, pause: Callable[[float], Awaitable[bool]]) -> None:
        """Until `pause`, which waits so many seconds, says that it is time to stop."""
        while True:
            more = await self.turn(executor)
            if await pause(0.0 if more else wait_before(self.state, self._patience, self._rest)):
                return

    async def turn(self, executor: ThreadPoolExecutor) -> bool:
        began = self._clock.steady()
        more, failure = False, None
        try:
            more = await asyncio.get_running_loop().run_in_executor(executor, self._step) is True
        except Exception as error:  # noqa: BLE001 - whatever a step raises, its loop goes on; counted, shown and logged
            failure = error
        took = self._clock.steady() - began
        self.state = replace(
            self.state,
            turns=self.state.turns + 1,
            last_time=self._clock.now(),
            last_seconds=took,
            slowest_seconds=max(took, self.state.slowest_seconds),
        )
        if failure is None:
            self._went_well()
        else:
            self._failed(failure)
        return more

    def _went_well(self) -> None:
        if self.state.failing:
            log.info("loop works again", extra=fields(loop=self.state.name, failed=self.state.failing))
            self.state = replace(self.state, failing=0, error="")

    def _failed(self, error: Exception) -> None:
        known = isinstance(error, HeadraceError)
        said = error.sentence() if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}"
        failing = self.state.failing + 1
        self.state = replace(self.state, failures=self.state.failures + 1, failing=failing, error=said)
        if failing & (failing - 1) == 0:  # 1, 2, 4, 8, …
            log.log(
                logging.WARNING if known else logging.ERROR,
                "loop failed",
                exc_info=None if known else error,
                extra=fields(loop=self.state.name, failing=failing, error=said),
            )


def wait_before(state: LoopState, patience: float, rest: float) -> float:
    """Seconds until the next turn."""
    usual = max(state.seconds, rest * state.last_seconds)
    return max(usual, min(patience, state.seconds * 2.0 ** min(state.failing, 20)))


class Loops:
    def __init__(self, loops: Sequence[Loop]) -> None:
        self._loops = tuple(loops)
        self._executor = ThreadPoolExecutor(max_workers=max(1, len(loops)), thread_name_prefix="loop")
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(loop.run(self._executor, self._pause), name=f"loop {loop.state.name}")
            for loop in self._loops
        ]

    async def stop(self) -> tuple[str, ...]:
        """Names of loops whose step had not ended in time; their threads are left to the end of the process."""
        self._stopping.set()
        late: tuple[str, ...] = ()
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
            late = tuple(sorted(task.get_name().removeprefix("loop ") for task in pending))
            for task in pending:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._executor.shutdown(wait=False, cancel_futures=True)
        return late

    def states(self) -> tuple[LoopState, ...]:
        return tuple(loop.state for loop in self._loops)

    async def _pause(self, seconds: float) -> bool:
        if seconds <= 0:
            await asyncio.sleep(0)
            return self._stopping.is_set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()
