"""Many rows for one endpoint, and an answer or an error for each: a bad row never fails its neighbours.

Called by batch (files) and stream (messages). Decides what an error means for the rows that were sent:

    the rows are to blame (bad input, a model that raised, too many, too slow)   halves are sent, down to the single row
    nobody is just now (overloaded, starting, unreachable)                       waited for, as long as `patience`
    the call can never work (no such endpoint, no right to it)                   raised at once

Ignores where rows come from and where answers go.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from headrace.base.clock import Clock
from headrace.client.infer import Arrays, Inferred
from headrace.types.errors import (
    BadInput,
    HeadraceError,
    ModelError,
    Overloaded,
    PlatformError,
    TooLarge,
    Unavailable,
    UpstreamError,
)

PATIENCE = 300.0  # seconds that an endpoint may be away
FIRST_WAIT, LONGEST_WAIT = 0.1, 10.0
_AGAIN = 2  # calls for rows that made the server fail: it may not have been their fault

Pause = Callable[[float], bool]  # waits so many seconds; True when there is no more time to wait: stop


class Stopped(Exception):
    """Whoever asked for the scores wants them no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What became of rows `first` to `first + count`. With an `error` there are no outputs."""

    first: int
    count: int
    outputs: Arrays
    trace_id: str = ""
    version: str = ""
    error: str = ""


class Scorer:
    def __init__(
        self,
        infer: Callable[[Arrays], Inferred],
        *,
        clock: Clock,
        pause: Pause,
        patience: float = PATIENCE,
        on_wait: Callable[[HeadraceError], None] = lambda _: None,
    ) -> None:
        self._infer, self._clock, self._pause, self._patience, self._on_wait = infer, clock, pause, patience, on_wait
        self._most = 1 << 30  # rows of a call; learned from the endpoint when it says that there were too many

    def __call__(self, arrays: Arrays) -> list[Piece]:
        """In order, all rows."""
        rows = len(next(iter(arrays.values())))
        pieces: list[Piece] = []
        first = 0
        while first < rows:
            count = min(self._most, rows - first)
            pieces.extend(self._scored(arrays, first, count))
            first += count
        return pieces

    def _scored(self, arrays: Arrays, first: int, count: int) -> Iterator[Piece]:
        some = {name: array[first : first + count] for name, array in arrays.items()}
        try:
            answer = self._patiently(some)
        except (BadInput, TooLarge, ModelError, PlatformError) as error:
            if isinstance(error, Overloaded | Unavailable):  # patience is at an end
                raise
            if count == 1:
                yield Piece(first=first, count=1, outputs={}, trace_id=error.trace_id, error=error.message)
                return
            half = count // 2
            if isinstance(error, TooLarge):
                self._most = min(self._most, count - half)
            yield from self._scored(arrays, first, half)
            yield from self._scored(arrays, first + half, count - half)
            return
        yield Piece(first=first, count=count, outputs=answer.outputs, trace_id=answer.trace_id, version=answer.version)

    def _patiently(self, arrays: Arrays) -> Inferred:
        began, waits, failures = self._clock.steady(), 0, 0
        while True:
            try:
                return self._infer(arrays)
            except (Overloaded, Unavailable, UpstreamError) as error:
                if self._clock.steady() - began >= self._patience:
                    raise Unavailable(
                        f"the endpoint has not taken a call for {self._patience:g} s: {error.message}", hint=error.hint
                    ) from error
                self._on_wait(error)
                self._wait(error.retry_after or 0.0, waits)
                waits += 1
            except (ModelError, PlatformError):
                failures += 1
                if failures == _AGAIN:
                    raise
                self._wait(0.0, 0)

    def _wait(self, least: float, waits: int) -> None:
        """As long as it was asked for, else longer each time; never in step with other callers."""
        usual = least or min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(waits, 10))
        if self._pause(usual * random.uniform(1.0, 1.5)):  # noqa: S311
            raise Stopped
