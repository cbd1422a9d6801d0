"""What happens now: per endpoint and variant, one row a second for the last hour.

Called by the control plane's live loop (feed), the console and the admin API (endpoint, totals), from several threads.
Decides what counts as an error (failed, timed out, shed) and whose latency is told (calls that reached the model: a
refused one is fast for no reason). Ignores evidence: this is for eyes, release/evidence.py counts for itself.

Memory is bounded: a series is one table of SECONDS rows, the oldest of too many series goes and is counted.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.base.clock import Clock
from headrace.store.journal.records import CallRow
from headrace.types.call import Call, CallStatus

SECONDS: Final = 3600
MAX_SERIES: Final = 200
# Bins of a latency histogram: from 0.05 ms to 1000 s in steps of 9 %, so a quantile is at most 4.5 % off.
LOWEST_MS: Final = 0.05
STEP: Final = 1.09
BINS: Final = 196
_LOG_STEP: Final = math.log(STEP)
_MIDDLES: Final = LOWEST_MS * STEP ** (np.arange(BINS) + 0.5)

ERRORS: Final = frozenset({CallStatus.FAILED, CallStatus.TIMEOUT, CallStatus.SHED})
REACHED: Final = frozenset({CallStatus.OK, CallStatus.FAILED, CallStatus.TIMEOUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Sums over a stretch of time. Quantiles are None when nothing reached the model."""

    seconds: float
    calls: int = 0
    errors: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None

    @property
    def rate(self) -> float:
        return self.calls / self.seconds

    @property
    def error_share(self) -> float:
        return self.errors / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals(Figures):
    variants: dict[str, Figures] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Five columns of one length. A second without calls has 0 calls and no latency."""

    time: tuple[float, ...]
    calls: tuple[int, ...]
    errors: tuple[int, ...]
    p50_ms: tuple[float | None, ...]
    p99_ms: tuple[float | None, ...]


class LiveStats:
    def __init__(self, clock: Clock) -> None:
        self.dropped = 0  # series, because there were too many
        self._clock = clock
        self._lock = threading.Lock()
        self._tracks: dict[tuple[str, str], _Track] = {}

    def feed(self, calls: Iterable[Call | CallRow]) -> int:
        """What is older than an hour is not of interest, nor what no user waited for. Answers how many counted."""
        now = int(self._clock.now())
        counted = 0
        with self._lock:
            for call in calls:
                if call.from_user:
                    counted += self._count(call, now)
        return counted

    def endpoint(self, name: str, *, seconds: int = SECONDS) -> dict[str, Series]:
        """By variant; all series share their times and end with the last full second."""
        end = int(self._clock.now())
        with self._lock:
            found = self._of(name)
            start = max(min((track.first for track in found.values()), default=end), end - min(seconds, SECONDS - 1))
            return {variant: track.series(start, end) for variant, track in found.items()}

    def totals(self, name: str, seconds: float = 60.0) -> Totals:
        """Over the last `seconds`, the running one included."""
        length = max(1, min(round(seconds), SECONDS - 1))
        end = int(self._clock.now()) + 1
        with self._lock:
            sums = {variant: track.sums(end - length, end) for variant, track in self._of(name).items()}
        whole = _Sums()
        for part in sums.values():
            whole.add(part)
        variants = {variant: Figures(seconds=length, **part.told()) for variant, part in sums.items() if part.calls}
        return Totals(seconds=length, **whole.told(), variants=variants)

    def endpoints(self) -> tuple[str, ...]:
        """Names with at least one call in the last hour."""
        oldest = int(self._clock.now()) - SECONDS
        with self._lock:
            return tuple(sorted({name for (name, _), track in self._tracks.items() if track.last > oldest}))

    def _of(self, name: str) -> dict[str, _Track]:
        return {variant: track for (endpoint, variant), track in sorted(self._tracks.items()) if endpoint == name}

    def _count(self, call: Call | CallRow, now: int) -> bool:
        second = min(int(call.time), now)  # another machine's clock may be ahead
        if second <= now - SECONDS:
            return False
        key = (call.endpoint, call.variant)
        track = self._tracks.get(key)
        if track is None:
            self._make_room(now)
            track = self._tracks[key] = _Track(second)
        track.count(second, call)
        return True

    def _make_room(self, now: int) -> None:
        for key in [key for key, track in self._tracks.items() if track.last <= now - SECONDS]:
            del self._tracks[key]
        if len(self._tracks) >= MAX_SERIES:
            del self._tracks[min(self._tracks, key=lambda key: self._tracks[key].last)]
            self.dropped += 1


class _Sums:
    """Calls, errors and a histogram, added up over seconds and variants."""

    def __init__(self) -> None:
        self.calls = self.errors = 0
        self.bins: NDArray[np.int64] = np.zeros(BINS, dtype=np.int64)

    def add(self, other: _Sums) -> None:
        self.calls += other.calls
        self.errors += other.errors
        self.bins += other.bins

    def told(self) -> dict[str, Any]:
        (p50,), (p99,) = (quantiles(self.bins[None, :], q) for q in (0.5, 0.99))
        return {"calls": self.calls, "errors": self.errors, "p50_ms": p50, "p99_ms": p99}


class _Track:
    """One variant: a ring of SECONDS rows. `stamp` says which second a row is of; an older one is empty."""

    def __init__(self, first: int) -> None:
        self.first = self.last = first
        self._stamp = np.zeros(SECONDS, dtype=np.int64)
        self._calls = np.zeros(SECONDS, dtype=np.int64)
        self._errors = np.zeros(SECONDS, dtype=np.int64)
        self._bins = np.zeros((SECONDS, BINS), dtype=np.uint32)  # pages that no call touches take no memory

    def count(self, second: int, call: Call | CallRow) -> None:
        row = second % SECONDS
        if self._stamp[row] != second:
            if self._stamp[row] > second:
                return  # the ring has moved on: a straggler from an hour ago
            self._stamp[row], self._calls[row], self._errors[row] = second, 0, 0
            self._bins[row] = 0
        self._calls[row] += 1
        self._errors[row] += call.status in ERRORS
        if call.status in REACHED:
            self._bins[row, bin_of(call.latency_ms)] += 1
        self.first, self.last = min(self.first, second), max(self.last, second)

    def series(self, start: int, end: int) -> Series:
        seconds, rows, there = self._window(start, end)
        bins = self._bins[rows] * there[:, None]
        return Series(
            time=tuple(map(float, seconds.tolist())),
            calls=tuple((self._calls[rows] * there).tolist()),
            errors=tuple((self._errors[rows] * there).tolist()),
            p50_ms=tuple(quantiles(bins, 0.5)),
            p99_ms=tuple(quantiles(bins, 0.99)),
        )

    def sums(self, start: int, end: int) -> _Sums:
        _, rows, there = self._window(start, end)
        rows = rows[there]
        found = _Sums()
        found.calls, found.errors = int(self._calls[rows].sum()), int(self._errors[rows].sum())
        found.bins += self._bins[rows].sum(axis=0, dtype=np.int64)
        return found

    def _window(self, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        seconds = np.arange(start, end, dtype=np.int64)
        rows = seconds % SECONDS
        return seconds, rows, self._stamp[rows] == seconds


def bin_of(latency_ms: float) -> int:
    if latency_ms <= LOWEST_MS:
        return 0
    return min(int(math.log(latency_ms / LOWEST_MS) / _LOG_STEP), BINS - 1)


def quantiles(bins: NDArray[Any], q: float) -> Sequence[float | None]:
    """Of each row: the middle of the bin that holds its quantile; None for a row without calls."""
    running = bins.cumsum(axis=1, dtype=np.int64)
    totals = running[:, -1]
    wanted = np.maximum(np.ceil(totals * q), 1)
    index = (running >= wanted[:, None]).argmax(axis=1)
    return [
        float(round(middle, 3)) if total else None
        for middle, total in zip(_MIDDLES[index].tolist(), totals.tolist(), strict=True)
    ]
