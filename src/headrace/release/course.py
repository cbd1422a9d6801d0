"""A release's intervals added up as they come, for pages that look every second. Pure.

Called by story.py and results.py. Keeps for each metric at most twice PARTS parts of the time, of equally many
intervals; when there are more, neighbours are joined. So what novelty.py is told of a day is as short as of a minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headrace.release.arms import seen, split
from headrace.release.novelty import Novelty, Part, novelty, part_of
from headrace.types.release import Interval, Tally
from headrace.types.score import Arm
from headrace.types.strategy import MetricKind, MetricSpec

PARTS = 40  # of time at least, once there are so many intervals


class Course:
    def __init__(self, metrics: Sequence[MetricSpec]) -> None:
        self._metrics = tuple(metrics)
        self._parts: dict[str, list[Part]] = {metric.name: [] for metric in metrics}
        self._size, self._in_last = 1, 1  # intervals of a part, and of the one under way

    def add(self, intervals: Iterable[Interval]) -> None:
        """In the order of time."""
        for interval in intervals:
            begins = self._in_last >= self._size
            for metric in self._metrics:
                parts, part = self._parts[metric.name], _part(metric, interval)
                if begins or not parts:
                    parts.append(part)
                else:
                    parts[-1] = _joined(parts[-1], part)
            self._in_last = 1 if begins else self._in_last + 1
            if self._metrics and len(self._parts[self._metrics[0].name]) > 2 * PARTS:
                self._halve()

    def novelties(self) -> Mapping[str, Novelty]:
        """By metric."""
        return {name: novelty(parts) for name, parts in self._parts.items()}

    def _halve(self) -> None:
        """Of an odd number: the last one, which is under way, stays alone."""
        for name, parts in self._parts.items():
            self._parts[name] = [_joined(*both) for both in zip(parts[:-1:2], parts[1::2], strict=True)] + parts[-1:]
        self._size *= 2


def _part(metric: MetricSpec, interval: Interval) -> Part:
    if metric.kind is not MetricKind.VALUE:
        return part_of(_summed(_tallies(metric, interval)))
    scores = [score for each in interval.scores if each.about == metric.event for score in each.scores]
    candidate, values = split(scores)
    return seen(Arm(), values[~candidate]), seen(Arm(), values[candidate])


def _tallies(metric: MetricSpec, interval: Interval) -> Iterable[Tally]:
    if metric.kind in (MetricKind.FEEDBACK, MetricKind.RATE):
        yield from (cohort.release for cohort in interval.late if cohort.about == metric.event)
    elif metric.name in interval.release:
        yield interval.release[metric.name]


def _summed(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for each in tallies:
        total = Tally(
            baseline_units=total.baseline_units + each.baseline_units,
            candidate_units=total.candidate_units + each.candidate_units,
            baseline_events=total.baseline_events + each.baseline_events,
            candidate_events=total.candidate_events + each.candidate_events,
        )
    return total


def _joined(one: Part, other: Part) -> Part:
    return _merged(one[0], other[0]), _merged(one[1], other[1])


def _merged(one: Arm, other: Arm) -> Arm:
    """Moments of both together (Chan et al. 1979)."""
    units = one.units + other.units
    if not units:
        return one
    apart, part = other.mean - one.mean, other.units / units
    return Arm(
        units=units,
        mean=one.mean + apart * part,
        squares=one.squares + other.squares + apart * apart * one.units * part,
    )
