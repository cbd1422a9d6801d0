"""From journal calls to pairs: what the baseline told a user, and what its shadow would have told. Pure.

Called by the engine beside evidence.py: it is fed the same records and closed with the same intervals. Decides which
two calls are a pair (the shadow names the trace id of the call it copies; either may come first), what counts for the
tests (each unit once), and which pairs are worth keeping: the worst, and a fair sample. It holds what it has seen, in
bounded memory, and reads nothing by itself, but for a call that came before it began to watch (`find`).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from math import log
from typing import Any, Protocol

from headrace.release.compare import Judge, compare, severity
from headrace.release.profile import FIRST, bins_of, counted
from headrace.release.spoken import ANSWER, answer_of, traits
from headrace.traffic.shadow import taken
from headrace.types.call import Call, CallStatus, PlaneEvent
from headrace.types.model import TensorSpec
from headrace.types.pair import Difference, Pair, PairRules, PairTally, Profile
from headrace.types.release import Member
from headrace.types.traffic import Shadow

WAITING = 10_000  # calls whose partner has not come yet
WAITING_ROWS = 20_000  # of these calls together
PATIENCE_SECONDS = 60.0  # that a call waits for its shadow, by the journal's own times
LOOK_UPS = 50  # of calls that were answered before this began, in one interval
UNJUDGED = 1_000  # pairs that wait for a judge
AHEAD = 16  # of them it may hear at a time
WORST, SAMPLE = 500, 1_000  # pairs of a release that are kept
COLUMNS = 64  # of a row that pairs can be looked at by
_FAILED = 8.0  # severity of a candidate that gave no answer
_BIN = log(1.25)  # of a latency histogram
_LOWEST_MS = 0.01
DROPPED = "shadow.dropped"  # the event with which a data plane tells of calls that found no room

_DRAWS = 1 << 63
_Value = float | str


class Pending(Judge, Protocol):
    """judge.TextJudge: what it does not know yet it will."""

    missing: bool  # set when it was asked for such


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedPairs:
    """The pairs of an interval, the units that they counted for the first time, and those to be kept."""

    tally: PairTally
    fresh: frozenset[str]
    kept: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """From before a restart: the units that were counted, and the bins."""

    tested: Collection[str] = ()
    profile: Profile = Profile()


@dataclass(slots=True)
class _Sums:
    """The interval under way; PairTally says what is what."""

    pairs: int = 0
    flips: float = 0.0
    deviating: int = 0
    unequal: int = 0
    overlap: float = 0.0
    candidate_errors: int = 0
    refused: int = 0
    tested: int = 0
    differing: int = 0
    lost: int = 0
    dropped: int = 0
    baseline_ms: dict[int, int] = field(default_factory=dict)
    candidate_ms: dict[int, int] = field(default_factory=dict)


class Pairs:
    """`specs`: outputs as callers see them, the answer first."""

    def __init__(
        self,
        member: Member,
        shadow: Shadow,
        rules: PairRules,
        *,
        specs: Sequence[TensorSpec],
        known: Known,
        find: Callable[[str], Call | None],
        judge: Pending | None = None,
    ) -> None:
        self.endpoint, self.baseline, self.candidate = member.endpoint, member.baseline, member.candidate
        self.failures_in_row = 0
        self._shadow, self._rules, self._specs, self._judge = shadow, rules, tuple(specs), judge
        self._find, self._look_ups = find, 0
        self._unjudged: deque[tuple[Call, Call]] = deque()  # pairs in their order, the first waits for the judge
        self._tested = set(known.tested)
        self._fresh: set[str] = set()
        self._calls: OrderedDict[str, Call] = OrderedDict()  # of users; by trace id
        self._shadows: OrderedDict[str, Call] = OrderedDict()  # by the trace id of the call they copy
        self._rows = 0  # of all that wait
        self._revision = 0  # of the first plan in which a shadow was seen: calls before it were due for none
        self._now = 0.0  # the latest time seen in the journal
        self._sums = _Sums()
        self._bins = known.profile
        self._values: tuple[list[_Value], list[_Value]] = ([], [])  # of the first output: baseline, candidate
        self._kept: dict[str, Pair] = {}
        self._worst: list[float] = []  # severities of the worst pairs so far, a heap
        self._drawn: list[float] = []  # draws of the sample so far, negative, a heap

    def observe(self, records: Iterable[object]) -> None:
        for record in records:
            if isinstance(record, Call):
                self._call(record)
            elif isinstance(record, PlaneEvent) and self._told_of_drops(record):
                self._sums.dropped += record.count

    def close(self) -> ClosedPairs:
        """Ends the interval and begins the next."""
        self._expire()
        self._hear()
        profile = self._profile()
        s = self._sums
        tally = PairTally(
            **{name: getattr(s, name) for name in _Sums.__slots__},
            failures_in_row=self.failures_in_row,
            profile=profile,
        )
        closed = ClosedPairs(tally=tally, fresh=frozenset(self._fresh), kept=tuple(self._kept.values()))
        self._sums, self._fresh, self._kept, self._look_ups = _Sums(), set(), {}, 0
        return closed

    def _told_of_drops(self, event: PlaneEvent) -> bool:
        return (event.name, event.endpoint, event.variant) == (DROPPED, self.endpoint, self.candidate)

    # --- who belongs to whom

    def _call(self, call: Call) -> None:
        if call.endpoint != self.endpoint:
            return
        self._now = max(self._now, call.time)
        if call.shadow_of:
            if call.variant == self.candidate:
                self._shadow_came(call)
        elif self._due(call):
            if (shadow := self._shadows.pop(call.trace_id, None)) is not None:
                self._rows -= shadow.rows
                self._pair(call, shadow)
            else:
                self._wait(self._calls, call.trace_id, call)

    def _due(self, call: Call) -> bool:
        """Whether a data plane gave it to the shadow: the same rule as there."""
        if call.status is not CallStatus.OK or (call.spent is not None and call.spent.alone):
            return False
        return taken(
            self._shadow,
            baseline=self.baseline,
            variant=call.variant,
            reason=call.reason,
            trace_id=call.trace_id,
        )

    def _shadow_came(self, shadow: Call) -> None:
        self._revision = min(self._revision or shadow.revision, shadow.revision)
        call = self._calls.pop(shadow.shadow_of, None)
        if call is not None:
            self._rows -= call.rows
        elif self._look_ups < LOOK_UPS:
            self._look_ups += 1
            call = self._find(shadow.shadow_of)
        if call is None:
            self._wait(self._shadows, shadow.shadow_of, shadow)
        else:
            self._pair(call, shadow)

    def _wait(self, where: OrderedDict[str, Call], key: str, call: Call) -> None:
        where[key] = call
        self._rows += call.rows
        while len(self._calls) + len(self._shadows) > WAITING or self._rows > WAITING_ROWS:
            self._give_up(self._calls if len(self._calls) >= len(self._shadows) else self._shadows)

    def _expire(self) -> None:
        oldest = self._now - PATIENCE_SECONDS
        for where in (self._calls, self._shadows):
            while where and next(iter(where.values())).time < oldest:
                self._give_up(where)

    def _give_up(self, where: OrderedDict[str, Call]) -> None:
        _, call = where.popitem(last=False)
        self._rows -= call.rows
        self._sums.lost += 0 < self._revision <= call.revision

    # --- what a pair says

    def _pair(self, call: Call, shadow: Call) -> None:
        if shadow.status is CallStatus.SHED:  # an upstream had no room for copies: as if ours had none
            self._sums.lost += 1
            self._sums.dropped += 1
            return
        if shadow.status is CallStatus.REJECTED:  # its signature does not take what the baseline's takes
            self._sums.refused += 1
        if shadow.status is not CallStatus.OK:
            self._failed(call, shadow)
            return
        self.failures_in_row = 0
        if self._judge is None:
            self._counted(call, shadow, self._compare(call, shadow, None))
        else:
            self._unjudged.append((call, shadow))

    def _hear(self) -> None:
        """Count the pairs that the judge has heard, in their order: those that it need not hear are the same ones, and
        counted first they would prove what is not so. When too many wait, the edits decide."""
        judge = self._judge
        while judge is not None and self._unjudged:
            judge.missing = False
            found = self._compare(*self._unjudged[0], judge)
            if judge.missing and len(self._unjudged) <= UNJUDGED:
                for both in islice(self._unjudged, 1, AHEAD):  # so that it hears several at a time
                    compare(self._rules, self._specs, *_sides(self._specs, *both), judge=judge)
                return
            self._counted(*self._unjudged.popleft(), found)

    def _counted(self, call: Call, shadow: Call, found: Difference) -> None:
        s, rules = self._sums, self._rules
        s.pairs += 1
        s.flips += found.flips
        s.deviating += found.deviation > rules.deviation
        s.unequal += found.unequal
        s.overlap += found.overlap
        _count(s.baseline_ms, call.run_ms)
        _count(s.candidate_ms, shadow.run_ms)
        if self._specs != (ANSWER,):  # no two texts are one bin
            for values, side in zip(self._values, _sides(self._specs, call, shadow), strict=True):
                values.extend(_values(side.get(self._specs[0].name)) if side else ())
        self._test(call, found.flips)
        self._keep(call, shadow, found, severity(found))

    def _failed(self, call: Call, shadow: Call) -> None:
        self._sums.candidate_errors += 1
        self.failures_in_row += 1
        self._test(call, 1.0)
        self._keep(call, shadow, Difference(what=shadow.error), _FAILED)

    def _test(self, call: Call, share: float) -> None:
        """A unit counts once; of its rows one stands for all. One without a user never comes again: it is not kept."""
        if call.sticky:
            if call.unit in self._tested:
                return
            self._tested.add(call.unit)
            self._fresh.add(call.unit)
        self._sums.tested += 1
        self._sums.differing += draw_of(call.trace_id) < share * _DRAWS

    def _compare(self, call: Call, shadow: Call, judge: Judge | None) -> Difference:
        before, after = _sides(self._specs, call, shadow)
        if not before:  # nothing was captured: errors and times are all there is to compare
            return Difference()
        return compare(self._rules, self._specs, before, after, judge=judge)

    # --- what is kept

    def _keep(self, call: Call, shadow: Call, found: Difference, bad: float) -> None:
        draw = draw_of(call.trace_id)
        worst = bad > 0 and _enters(self._worst, bad, WORST)
        drawn = _enters(self._drawn, -draw, SAMPLE)
        if not worst and not drawn:
            return
        self._kept[call.trace_id] = Pair(
            trace_id=call.trace_id,
            shadow_id=shadow.trace_id,
            time=call.time,
            unit=call.unit,
            rows=call.rows,
            severity=bad,
            draw=draw,
            difference=found,
            baseline_output=_at(call.output, found.row),
            candidate_output=_at(shadow.output, found.row),
            error=shadow.error,
            baseline_ms=call.run_ms,
            candidate_ms=shadow.run_ms,
            segment=segment_of(call, shadow, found.row),
        )

    def _profile(self) -> Profile:
        """Counts of this interval; nothing until the baseline's first answers have fixed the bins."""
        before, after = self._values
        if not self._bins.baseline:
            if len(before) < FIRST:
                return Profile()
            self._bins = bins_of(before[:FIRST])
        self._values = ([], [])
        return counted(self._bins, before, after)


def draw_of(trace_id: str) -> int:
    """A number by chance that stays: the pairs with the lowest are a uniform sample, whoever counts, in any order."""
    return int.from_bytes(blake2b(trace_id.encode(), digest_size=8, person=b"pairs").digest()) >> 1


def milliseconds(number: int) -> float:
    """The middle of a bin of a latency histogram."""
    return float(_LOWEST_MS * 1.25 ** (number + 0.5))


def segment_of(call: Call, shadow: Call, row: int) -> dict[str, Any]:
    """What a pair can be looked at by: the columns of that row, and the headers that were kept."""
    found = traits(call, shadow)
    if call.spent is None and isinstance(record := _record(call.input, row), dict):
        found = {str(name): value for name, value in list(record.items())[:COLUMNS] if _scalar(value)}
    attributes = shadow.beside.get("attributes") if isinstance(shadow.beside, dict) else None
    return found | (attributes if isinstance(attributes, dict) else {})


def _record(given: Any, row: int) -> Any:
    """One row of the input: of a list of records, or of an object of columns."""
    if isinstance(given, list):
        return given[row] if row < len(given) else None
    if isinstance(given, dict):
        return {name: _at(column, row) for name, column in given.items()}
    return None


def _at(value: Any, row: int) -> Any:
    return value[row] if isinstance(value, list) and row < len(value) else value


def _scalar(value: Any) -> bool:
    return value is None or (isinstance(value, int | float | str) and len(str(value)) <= 200)


def _sides(specs: Sequence[TensorSpec], call: Call, shadow: Call) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both answers by output name; empty when the journal did not keep the baseline's."""
    if not specs or call.output is None:
        return {}, {}
    before, after = {specs[0].name: answer_of(call)}, {specs[0].name: answer_of(shadow)}
    others = shadow.beside.get("outputs") if isinstance(shadow.beside, dict) else None
    for name, both in others.items() if isinstance(others, dict) else ():
        if isinstance(both, list) and len(both) == 2:
            before[name], after[name] = both
    return before, after


def _values(answer: Any) -> list[_Value]:
    """What is counted of an answer: numbers as they are, of several scores the highest, all else as a label."""
    rows = answer if isinstance(answer, list) else [answer]
    found: list[_Value] = []
    for row in rows:
        if isinstance(row, list):
            numbers = [value for value in row if isinstance(value, int | float)]
            found += [float(max(numbers))] if numbers else []
        elif isinstance(row, float):
            found.append(row)
        elif row is not None:
            found.append(str(row))
    return found


def _count(bins: dict[int, int], ms: float) -> None:
    number = max(0, int(log(max(ms, _LOWEST_MS) / _LOWEST_MS) / _BIN))
    bins[number] = bins.get(number, 0) + 1


def _enters(heap: list[float], value: float, most: int) -> bool:
    """Whether it is among the `most` highest so far."""
    if len(heap) < most:
        heapq.heappush(heap, value)
        return True
    if value <= heap[0]:
        return False
    heapq.heapreplace(heap, value)
    return True
