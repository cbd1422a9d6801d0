"""When a live version is an outlier against its own past. Pure: counts in, a cause in words or nothing out.

Called by serving/failover.py, at each failure of the model and a few times a second; never for a call that went well.
Three signs, each enough:

    in a row   the last calls all failed: as many as twice its usual rate makes incredible, five at least
    rate       of the last ten seconds' calls too many failed to be its own past: the likelihood ratio against five
               times its usual rate is above 10,000
    stall      calls are inside and none was answered for longer than they take: several, for longer than all but half
               a per cent of its calls; a few, for twice as long as its slowest call ever

A caller's mistakes, refused calls (a full queue) and deadlines that callers set themselves are no failures. Decides
nothing about what answers instead: nobody is ejected who has no successor.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import ceil, log

from headrace.types.failover import Failover

WINDOW_SECONDS = 10.0
SAMPLE_SECONDS = 0.5
PAST_SECONDS = 600.0  # what is remembered of the past: older calls count less and less
WORSE = 5.0  # times the usual rate that is still no sign
INCREDIBLE = 1e-8  # chance of a row of failures that is no sign
LIMIT = log(10_000)
KNOWN_CALLS = 20  # answered, before a stall can be told from a slow model
SEVERAL = 5  # calls inside
_FAILURES, _CALLS = 0.2, 20.0  # a past of one per cent, before there is one


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """Seconds that its answers have taken: nearly all of them less than `usual`, none more than `ever`."""

    usual: float = 0.0
    ever: float = 0.0


@dataclass(slots=True, kw_only=True)
class Pulse:
    """One version on one endpoint. `ok`, everywhere here: calls it has answered well so far, a number that grows."""

    failed: int = 0
    in_row: int = 0
    _ok_then: int = -1  # at the last failure
    _samples: deque[tuple[float, int, int]] = field(default_factory=deque)  # time, ok, failed; of the window
    _past_ok: float = 0.0
    _past_failed: float = 0.0
    _still_since: float = 0.0  # calls are inside and none is answered since then; 0: it moves
    _still_ok: int = -1

    def fail(self, ok: int) -> None:
        self.in_row = self.in_row + 1 if ok == self._ok_then else 1
        self._ok_then = ok
        self.failed += 1

    def usual(self) -> float:
        """The share of its calls that failed before the window."""
        return (self._past_failed + _FAILURES) / (self._past_ok + self._past_failed + _CALLS)

    def sample(self, now: float, ok: int) -> None:
        """From time to time: what leaves the window becomes the past."""
        if self._samples and now - self._samples[-1][0] < SAMPLE_SECONDS:
            return
        self._samples.append((now, ok, self.failed))
        while len(self._samples) > 1 and now - self._samples[1][0] >= WINDOW_SECONDS:
            then, ok_then, failed_then = self._samples.popleft()
            after, ok_after, failed_after = self._samples[0]
            if ok_after == ok_then and failed_after > failed_then:
                continue  # nothing but failures is what we look for, and must not become what is usual
            kept = max(0.0, 1 - (after - then) / PAST_SECONDS)
            self._past_ok = self._past_ok * kept + ok_after - ok_then
            self._past_failed = self._past_failed * kept + failed_after - failed_then

    def window(self, ok: int) -> tuple[int, int]:
        """Calls answered and failed in it; none before the first sample."""
        if not self._samples:
            return 0, 0
        _, ok_then, failed_then = self._samples[0]
        return ok - ok_then, self.failed - failed_then


def broken(pulse: Pulse, wanted: Failover, ok: int) -> str:
    """Why it must go, after a failure; empty when it may stay."""
    usual = pulse.usual()
    if pulse.in_row >= max(wanted.failures_in_row, ceil(log(INCREDIBLE) / log(min(0.9, 2 * usual)))):
        return f"the last {pulse.in_row} calls failed, one after the other"
    good, bad = pulse.window(ok)
    calls = good + bad
    if not wanted.error_rate or calls < wanted.min_calls:
        return ""
    rate, tolerated = bad / calls, max(WORSE * usual, wanted.error_rate / 2)
    if rate < max(wanted.error_rate, tolerated) or tolerated >= 1:
        return ""
    if calls * divergence(rate, tolerated) < LIMIT:
        return ""
    return f"{bad} of the last {calls} calls failed, where {usual:.2%} is usual"


def divergence(rate: float, other: float) -> float:
    """How much one call of a stream with `rate` speaks against `other`, in nats (Kullback-Leibler)."""
    here = rate * log(rate / other) if rate > 0 else 0.0
    rest = (1 - rate) * log((1 - rate) / (1 - other)) if rate < 1 else 0.0
    return here + rest


def stalled(pulse: Pulse, wanted: Failover, now: float, *, ok: int, inside: int, slow: Slow) -> str:
    """Called a few times a second. A row of failures is no answer, so it does not end a stall."""
    if ok != pulse._still_ok or not inside:
        pulse._still_ok = ok
        pulse._still_since = now if inside else 0.0
        return ""
    if not pulse._still_since:
        pulse._still_since = now
    if not wanted.stall_seconds or ok < KNOWN_CALLS:
        return ""
    # One call may be the rare long one; several behind each other that get nothing are not.
    patience = max(wanted.stall_seconds, slow.usual if inside >= SEVERAL else 2 * slow.ever)
    waited = now - pulse._still_since
    return f"{inside} calls inside and none answered for {waited:.1f} s" if waited >= patience else ""
