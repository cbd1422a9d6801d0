"""From journal records to the counts of an interval. Pure: it holds what it has seen, and reads nothing by itself.

Called by turn.py, which feeds it and stores what it gives. Decides what is a bad event, and whom it counts for:

* only calls that a bucket assigned (`counted`), to the baseline or the candidate;
* a call that was rejected (the caller's fault) or shed (a full queue) is evidence of nothing;
* a unit is of the arm in which it was first seen in the interval;
* in a scope (the whole release; each step) a unit's event counts once, and from then on the unit is not at risk;
* feedback comes late, maybe steps later. It is compared among all who called in the step of the call that it is about:
  there the share was one, and who had which variant was chance;
* a metric that the application posts for a unit is compared in the same way: in the last step in which the unit called;
* in the first `cold_seconds` an answer may be slow for either version;
* calls that no bucket assigned (the canary header) say nothing but that the candidate fails, one call after the other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.base.ids import issued
from headrace.release.follow import follow
from headrace.types.call import Call, CallStatus, Feedback, FeedbackName, MetricEvent, PlaneEvent
from headrace.types.pair import Pair
from headrace.types.release import Cohort, Interval, Matched, Release, Scores, Tally
from headrace.types.score import Score
from headrace.types.strategy import MetricKind, MetricSpec
from headrace.types.traffic import Reason

REMEMBERED = 50_000  # calls that feedback can be joined to without a look-up
CUT_CALLS = 200  # baseline calls from which a latency cut is fixed
UNHAPPY = "unhappy"  # the name under which units with bad feedback are counted

Record = Call | Feedback | MetricEvent | PlaneEvent
Find = Callable[[str], Call | None]
Counted = dict[str, set[str]]  # scope/metric → units


@dataclass(slots=True)
class _Seen:
    """One metric in the interval under way: unit → is it the candidate's, and the units with the event."""

    arms: dict[str, bool] = field(default_factory=dict)
    events: set[str] = field(default_factory=set)

    def add(self, unit: str, *, candidate: bool, event: bool) -> None:
        if self.arms.setdefault(unit, candidate) == candidate and event:
            self.events.add(unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """An interval, and the units that it counted for the first time."""

    interval: Interval
    fresh: Counted
    pairs: tuple[Pair, ...] = ()  # to be kept


class Accumulator:
    def __init__(
        self, release: Release, *, counted: Mapping[str, set[str]], cuts: Mapping[str, float], find: Find
    ) -> None:
        self.members = {m.endpoint: m for m in release.members}
        self.metrics = release.plan.metrics
        self.posted = {m.event for m in self.metrics if m.kind is MetricKind.RATE}
        self.scored = {m.event for m in self.metrics if m.kind is MetricKind.VALUE}
        self.counted: Counted = {name: set(units) for name, units in counted.items()}
        self.cuts = dict(cuts)
        self.failures_in_row = release.failures_in_row
        self._starts = [event.time for event in release.history if event.name in ("started", "step")]
        self._warm = self._starts[0] + release.plan.cold_seconds if self._starts else 0.0
        self._find = find
        self._calls: OrderedDict[str, tuple[bool, str, Any]] = OrderedDict()
        self._latencies: list[float] = []
        self._refused = ""
        self._seen = {m.name: _Seen() for m in self.metrics}
        self._arms: dict[str, bool] = {}  # units that called in this interval: is theirs the candidate?
        self._late: dict[tuple[str, int], _Seen] = {}  # by what was posted ("": unhappy) and the step of the call
        self._scores: dict[tuple[str, int], dict[str, Score]] = {}  # the same of values, by unit
        self._follow = follow(release, counted)
        steps = range(len(self._starts))
        self._called = {
            arm: set[str]().union(*(self._log(step, candidate=arm) for step in steps)) for arm in (False, True)
        }

    def observe(self, records: Iterable[Record]) -> None:
        for record in records:
            if isinstance(record, Call):
                self._call(record)
            elif isinstance(record, Feedback):
                self._feedback(record)
            elif isinstance(record, MetricEvent):
                self._posted(record)
            elif record.name == "plan.refused" and self._is_candidate(record.endpoint, record.variant):
                self._refused = record.detail

    def close(self, *, start: float, end: float, step: int) -> Closed:
        """Ends the interval and begins the next. `step`: the one that it was in."""
        fresh: Counted = {}
        self._expose(step, fresh)
        calls = [m.name for m in self.metrics if m.kind.of_calls]
        interval = Interval(
            start=start,
            end=end,
            step=step,
            candidate_units=len(self._log(step, candidate=True)),
            failures_in_row=self.failures_in_row,
            release={name: self._tally(f"release/{name}", self._seen[name], fresh) for name in calls},
            step_wise={name: self._tally(f"step-{step}/{name}", self._seen[name], fresh) for name in calls},
            late=tuple(
                self._cohort(about, number, seen, fresh) for (about, number), seen in sorted(self._late.items())
            ),
            scores=tuple(self._first(about, number, of, fresh) for (about, number), of in sorted(self._scores.items())),
            cuts=dict(self.cuts),
            called=(len(self._called[False]), len(self._called[True])),
            exposed=(len(self._log(step, candidate=False)), len(self._log(step, candidate=True))),
            refused=self._refused,
            matched=self._matched(end, fresh),
        )
        self._seen = {m.name: _Seen() for m in self.metrics}
        self._arms, self._late, self._scores = {}, {}, {}
        return Closed(interval=interval, fresh=fresh)

    def next_step(self, time: float) -> None:
        """Calls from now on are of the next step."""
        self._starts.append(time)

    # --- what a record means

    def _call(self, call: Call) -> None:
        candidate = self._arm(call)
        if candidate is None or call.status in (CallStatus.REJECTED, CallStatus.SHED):
            return
        failed = call.status is not CallStatus.OK
        if candidate and (call.counted or call.reason is Reason.RULE):
            self.failures_in_row = self.failures_in_row + 1 if failed else 0
        if not call.counted:
            return
        if not candidate and not failed:
            self._learn_cuts(call.latency_ms)
        self._remember(call, candidate)
        self._arms.setdefault(call.unit, candidate)
        if self._follow is not None:
            step = bisect_right(self._starts, call.time) - 1
            self._follow.came(step, call.unit, candidate=candidate, seconds=self._since(step, call.time))
        for metric in self.metrics:
            if metric.kind is MetricKind.ERRORS:
                self._seen[metric.name].add(call.unit, candidate=candidate, event=failed)
            elif metric.kind is MetricKind.SLOW and not failed and (cut := self.cuts.get(metric.name)):
                slow = call.latency_ms > cut and call.time >= self._warm
                self._seen[metric.name].add(call.unit, candidate=candidate, event=slow)

    def _arm(self, call: Call) -> bool | None:
        """Is it the candidate's? None: neither version's, or a copy that nobody waited for."""
        member = self.members.get(call.endpoint)
        if member is None or call.variant not in (member.baseline, member.candidate) or call.shadow_of:
            return None
        return call.variant == member.candidate

    def _is_candidate(self, endpoint: str, variant: str) -> bool:
        member = self.members.get(endpoint)
        return member is not None and member.candidate == variant

    def _feedback(self, feedback: Feedback) -> None:
        found = self._call_of(feedback.trace_id)
        if found is not None and is_bad(feedback, self._calls[feedback.trace_id][2]):
            step, candidate, unit = found
            self._late.setdefault(("", step), _Seen()).add(unit, candidate=candidate, event=True)
            if self._follow is not None:
                self._follow.said(step, unit, "", seconds=self._since(step, feedback.time))

    def _call_of(self, trace_id: str) -> tuple[int, bool, str] | None:
        """Step, arm and unit of a call; None when it is no evidence, such as one from before the release."""
        step = bisect_right(self._starts, issued(trace_id)) - 1
        if step < 0 or (trace_id not in self._calls and not self._look_up(trace_id)):
            return None
        candidate, unit, _ = self._calls[trace_id]
        return step, candidate, unit

    def _posted(self, event: MetricEvent) -> None:
        if not (event.name in self.posted or event.name in self.scored):
            return
        if event.endpoint and event.endpoint not in self.members:
            return
        found = self._call_of(event.trace_id) if event.trace_id else self._last_call(event)
        if found is None:
            return
        step, candidate, unit = found
        if event.name in self.posted and event.value:
            self._late.setdefault((event.name, step), _Seen()).add(unit, candidate=candidate, event=True)
        if event.name in self.scored:
            score = Score(candidate=candidate, value=event.value)
            self._scores.setdefault((event.name, step), {}).setdefault(unit, score)
        if self._follow is not None:
            self._follow_up(event, step, unit)

    def _follow_up(self, event: MetricEvent, step: int, unit: str) -> None:
        seconds = self._since(step, event.time)
        if event.value and self._follow is not None:
            self._follow.said(step, unit, event.name, seconds=seconds)
        if event.name in self.scored and self._follow is not None:
            self._follow.said(step, unit, event.name, seconds=seconds, value=event.value)

    def _since(self, step: int, time: float) -> float:
        """Seconds since the step began."""
        return time - self._starts[step] if step >= 0 else 0.0

    def _last_call(self, event: MetricEvent) -> tuple[int, bool, str] | None:
        """The last step in which the unit called before that, and with which arm."""
        last = bisect_right(self._starts, event.time) - 1
        if last >= 0 and (arm := self._arms.get(event.unit)) is not None:
            return last, arm, event.unit  # in this very interval
        for step in range(last, -1, -1):
            for candidate in (False, True):
                if event.unit in self._log(step, candidate=candidate):
                    return step, candidate, event.unit
        return None

    def _look_up(self, trace_id: str) -> bool:
        call = self._find(trace_id)
        if call is None or not call.counted or (candidate := self._arm(call)) is None:
            return False
        self._remember(call, candidate)
        return True

    def _remember(self, call: Call, candidate: bool) -> None:
        self._calls[call.trace_id] = (candidate, call.unit, call.output)
        if len(self._calls) > REMEMBERED:
            self._calls.popitem(last=False)

    def _learn_cuts(self, latency_ms: float) -> None:
        """Only while a cut is missing: the first calls of the release fix it, those after them are judged by it."""
        if all(m.name in self.cuts for m in self.metrics if m.kind is MetricKind.SLOW):
            return
        self._latencies.append(latency_ms)
        if len(self._latencies) >= CUT_CALLS:
            self.cuts = cuts_of(self.metrics, self._latencies) | self.cuts

    # --- counting

    def _expose(self, step: int, fresh: Counted) -> None:
        """Who called in this step, with which arm; the first one stands."""
        logs = {arm: self._log(step, candidate=arm) for arm in (False, True)}
        for arm, log in logs.items():
            new = {unit for unit, candidate in self._arms.items() if candidate is arm and unit not in logs[not arm]}
            self._count(_exposure(step, candidate=arm), new - log, fresh)
            self._called[arm] |= new

    def _matched(self, end: float, fresh: Counted) -> tuple[Matched, ...]:
        if self._follow is None:
            return ()
        after = self._follow.span.after
        seconds = end - self._starts[after] if after < len(self._starts) else 0.0
        return self._follow.close(seconds, fresh)

    def _log(self, step: int, *, candidate: bool) -> set[str]:
        return self.counted.setdefault(_exposure(step, candidate=candidate), set())

    def _tally(self, name: str, seen: _Seen, fresh: Counted) -> Tally:
        before = self.counted.get(name, set())
        at_risk = {unit: candidate for unit, candidate in seen.arms.items() if unit not in before}
        events = [unit for unit in seen.events if unit in at_risk]
        self._count(name, events, fresh)
        candidates, hit = sum(at_risk.values()), sum(at_risk[unit] for unit in events)
        return Tally(
            baseline_units=len(at_risk) - candidates,
            candidate_units=candidates,
            baseline_events=len(events) - hit,
            candidate_events=hit,
        )

    def _cohort(self, about: str, step: int, late: _Seen, fresh: Counted) -> Cohort:
        """The events among all who called in that step; of a unit that had the other arm there, they are left out."""
        called = {unit: arm for arm in (False, True) for unit in self._log(step, candidate=arm)}
        events = {unit for unit in late.events if called.get(unit) is late.arms[unit]}
        seen, name = _Seen(arms=called, events=events), about or UNHAPPY
        return Cohort(
            about=about,
            step=step,
            release=self._tally(f"release/{name}", seen, fresh),
            step_wise=self._tally(f"step-{step}/{name}", seen, fresh),
        )

    def _first(self, about: str, step: int, of: dict[str, Score], fresh: Counted) -> Scores:
        """Values of units that had none before, in the release or at least in the step."""
        names = [f"{scope}/value:{about}" for scope in ("release", f"step-{step}")]
        ever, in_step = ({*self.counted.get(name, ())} for name in names)
        for name in names:
            self._count(name, of, fresh)
        return Scores(
            step=step,
            about=about,
            scores=tuple(score for unit, score in of.items() if unit not in ever),
            again=tuple(score for unit, score in of.items() if unit in ever and unit not in in_step),
        )

    def _count(self, name: str, units: Iterable[str], fresh: Counted) -> None:
        have = self.counted.setdefault(name, set())
        new = set(units) - have
        if new:
            fresh[name] = new
            have |= new


def _exposure(step: int, *, candidate: bool) -> str:
    """The exposure logs are kept like metrics of these names."""
    return f"step-{step}/called-{'candidate' if candidate else 'baseline'}"


def is_empty(interval: Interval) -> bool:
    """Nobody was at risk: the tests have not moved."""
    tallies = (*interval.release.values(), *interval.step_wise.values())
    at_risk = any(tally.baseline_units + tally.candidate_units for tally in tallies)
    return not (interval.late or interval.scores or interval.matched or at_risk)


def is_bad(feedback: Feedback, output: Any) -> bool | None:
    """Thumbs down, or a correction that differs from the answer. None: it does not, or no longer, say
    whether the answer was good."""
    if feedback.withdrawn:
        return None
    if feedback.name == FeedbackName.RATING:
        return feedback.value is False
    if feedback.name == FeedbackName.CORRECTION:
        return not _same(feedback.value, output)
    return None


def _same(correction: Any, output: Any) -> bool:
    """7, "7" and [7] all correct the answer [7] to itself."""
    while isinstance(output, list) and len(output) == 1 and not isinstance(correction, list):
        output = output[0]
    return bool(correction == output) or str(correction).strip() == str(output).strip()


def cuts_of(metrics: Iterable[MetricSpec], latencies: Iterable[float]) -> dict[str, float]:
    """By SLOW metric: the baseline's quantile, and the slack that keeps harmless microseconds from counting."""
    ordered = sorted(latencies)
    if len(ordered) < CUT_CALLS:
        return {}
    found = {}
    for metric in metrics:
        if metric.kind is MetricKind.SLOW:
            quantile = ordered[min(len(ordered) - 1, int(metric.quantile * len(ordered)))]
            found[metric.name] = quantile + max(metric.slack * quantile, metric.slack_ms)
    return found
