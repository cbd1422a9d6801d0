"""Units before a switch and after it, each followed for equally long: whom feedback and posted metrics are judged by.

Called by evidence.py. Pure: it holds what it has seen. After a switch nobody has the baseline, so who came after it is
held against who came before it. Feedback and posted metrics come late, and most units never say anything: so a unit
counts from its first call in the step, for as many seconds before as after, and then it has had the event or not.
Decides those seconds, and who is held against whom: both times are cut into GROUPS stretches, the first against the
first, so that a group is compared once, as soon as its units were followed for long enough.

The step before is the longest one in which the baseline has traffic. What is known of a unit is kept as strings among
the counted units, so that it outlasts a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from headrace.types.release import Matched, Release, Tally
from headrace.types.score import Score
from headrace.types.strategy import MetricKind, Step, StepKind
from headrace.types.traffic import BUCKETS

GROUPS = 32
LAG = 1.0  # seconds that a record may take to be read
DONE = "switch/matched"  # under which the groups that were compared are counted

Counted = dict[str, set[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Step numbers, and milliseconds."""

    before: int
    after: int
    follow: int
    group_before: int  # in which the units of a group begin
    group_after: int


def span_of(steps: tuple[Step, ...]) -> Span | None:
    """None without a switch, or when the times before or after it are too short to follow anybody."""
    after = next((number for number, step in enumerate(steps) if step.kind is StepKind.SWITCH), 0)
    known = [(step.min_seconds, number) for number, step in enumerate(steps[:after]) if step.share < BUCKETS]
    if not known:
        return None
    seconds, before = max(known)
    watch = steps[after].min_seconds - LAG
    follow = min(seconds, watch) / 2
    each = [int(1000 * (whole - follow) / GROUPS) for whole in (seconds, watch)]
    if min(each) < 1:
        return None
    return Span(before=before, after=after, follow=int(1000 * follow), group_before=each[0], group_after=each[1])


class Follow:
    """`counted`: what was kept, from before a restart."""

    def __init__(self, release: Release, span: Span, counted: Mapping[str, set[str]]) -> None:
        self.span = span
        kinds = ((m.kind, m.event) for m in release.plan.metrics)
        late = sorted({(kind is MetricKind.VALUE, event) for kind, event in kinds if _is_late(kind)})
        self._abouts = [event for is_value, event in late if not is_value]
        self._scored = [event for is_value, event in late if is_value]
        self._came: dict[int, dict[str, int]] = {span.before: {}, span.after: {}}
        self._groups: dict[int, list[list[str]]] = {step: [[] for _ in range(GROUPS)] for step in self._came}
        self._said: dict[tuple[int, str], set[str]] = {}
        self._values: dict[tuple[int, str], dict[str, float]] = {}
        self._done = len(counted.get(DONE, ()))
        self._fresh: Counted = {}
        self._recall(counted)
        self._fresh.clear()

    def came(self, step: int, unit: str, *, candidate: bool, seconds: float) -> None:
        """It called, so long after the step began."""
        known = self._came.get(step)
        if known is not None and unit not in known and candidate is (step == self.span.after):
            self._enter(step, unit, int(1000 * seconds))

    def said(self, step: int, unit: str, about: str, *, seconds: float, value: float | None = None) -> None:
        """An event, or a value, about a call of that step, so long after the step began."""
        came = self._came.get(step, {}).get(unit)
        if came is None or not came <= 1000 * seconds < came + self.span.follow:
            return
        if value is None:
            if about in self._abouts:
                self._note(step, unit, about)
        elif about in self._scored and unit not in self._values.get((step, about), ()):
            self._score(step, unit, about, value)

    def close(self, seconds: float, fresh: Counted) -> tuple[Matched, ...]:
        """What can be compared so long after the switch, and has not been. `fresh` gets what is to be kept."""
        found: list[Matched] = []
        while self._done < GROUPS and 1000 * (seconds - LAG) >= self._ripe():
            found += self._compare(self._done)
            self._fresh.setdefault(DONE, set()).add(str(self._done))
            self._done += 1
        for name, units in self._fresh.items():
            fresh.setdefault(name, set()).update(units)
        self._fresh = {}
        return tuple(found)

    def _ripe(self) -> int:
        return (self._done + 1) * self.span.group_after + self.span.follow

    def _compare(self, number: int) -> Iterable[Matched]:
        before, after = (self._groups[step][number] for step in (self.span.before, self.span.after))
        if not before or not after:
            return
        for about in self._abouts:
            events = [
                len(self._said.get((step, about), set()).intersection(units))
                for step, units in ((self.span.before, before), (self.span.after, after))
            ]
            if any(events):  # else it moves nothing
                yield Matched(
                    about=about,
                    tally=Tally(
                        baseline_units=len(before),
                        candidate_units=len(after),
                        baseline_events=events[0],
                        candidate_events=events[1],
                    ),
                )
        for about in self._scored:
            scores = (*self._scores(self.span.before, about, before), *self._scores(self.span.after, about, after))
            if scores:
                yield Matched(about=about, scores=tuple(score for _, score in sorted(scores, key=lambda each: each[0])))

    def _scores(self, step: int, about: str, units: Iterable[str]) -> Iterable[tuple[str, Score]]:
        """With what orders them: a hash knows nothing of when a unit came, nor of what it said."""
        values = self._values.get((step, about), {})
        for unit in units:
            if unit in values:
                drawn = sha256(f"{step} {unit}".encode()).hexdigest()
                yield drawn, Score(candidate=step == self.span.after, value=values[unit])

    # what is kept

    def _enter(self, step: int, unit: str, at: int) -> None:
        each = self.span.group_after if step == self.span.after else self.span.group_before
        group = at // each
        if 0 <= group < GROUPS:
            self._came[step][unit] = at
            self._groups[step][group].append(unit)
            self._fresh.setdefault(f"step-{step}/came", set()).add(f"{at} {unit}")

    def _note(self, step: int, unit: str, about: str) -> None:
        said = self._said.setdefault((step, about), set())
        if unit not in said:
            said.add(unit)
            self._fresh.setdefault(f"step-{step}/said:{about}", set()).add(unit)

    def _score(self, step: int, unit: str, about: str, value: float) -> None:
        self._values.setdefault((step, about), {})[unit] = value
        self._fresh.setdefault(f"step-{step}/first:{about}", set()).add(f"{value!r} {unit}")

    def _recall(self, counted: Mapping[str, set[str]]) -> None:
        for step in self._came:
            for at, unit in _pairs(counted.get(f"step-{step}/came", ())):
                self._enter(step, unit, int(at))
            for about in self._abouts:
                for unit in counted.get(f"step-{step}/said:{about}", ()):
                    self._note(step, unit, about)
            for about in self._scored:
                for value, unit in _pairs(counted.get(f"step-{step}/first:{about}", ())):
                    self._score(step, unit, about, float(value))


def follow(release: Release, counted: Mapping[str, set[str]]) -> Follow | None:
    """None when nothing of it decides: no switch, or no metric that comes late."""
    span = span_of(release.plan.steps)
    if span is None or not any(_is_late(m.kind) for m in release.plan.metrics):
        return None
    return Follow(release, span, counted)


def _is_late(kind: MetricKind) -> bool:
    return kind in (MetricKind.FEEDBACK, MetricKind.RATE, MetricKind.VALUE)


def _pairs(kept: Iterable[str]) -> Iterable[tuple[str, str]]:
    for each in kept:
        first, _, unit = each.partition(" ")
        yield first, unit
