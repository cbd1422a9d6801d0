"""What several workers counted, as one. Pure.

Called by api/http/status.py with the figures of each worker that answered. Decides what one number is made of many:
counters and histograms are sums, a gauge says for itself (meter.METRICS). Ignores who is missing.
"""

from __future__ import annotations

from collections.abc import Iterable

from headrace.traffic.meter import BY_NAME, Figures, Histogram, Lane, Reading


def merge(parts: Iterable[Figures]) -> Figures:
    """Changes none of them. The order of the parts does not matter."""
    lanes: dict[tuple[str, str], Lane] = {}
    readings: dict[tuple[str, tuple[tuple[str, str], ...]], list[float]] = {}
    for part in parts:
        for key, lane in part.lanes.items():
            _add(lanes.setdefault(key, Lane()), lane)
        for name, labels, value in part.readings:
            readings.setdefault((name, tuple(sorted(labels.items()))), []).append(value)
    folded: list[Reading] = [
        (name, dict(labels), BY_NAME[name].fold(values)) for (name, labels), values in sorted(readings.items())
    ]
    return Figures(lanes, folded)


def _add(to: Lane, lane: Lane) -> None:
    for status, count in lane.statuses.items():
        to.statuses[status] = to.statuses.get(status, 0) + count
    to.rows += lane.rows
    _fill(to.call, lane.call)
    _fill(to.run, lane.run)
    _fill(to.unanswered, lane.unanswered)
    _fill(to.first, lane.first)
    _fill(to.own, lane.own)


def _fill(to: Histogram, histogram: Histogram) -> None:
    to.counts = [mine + theirs for mine, theirs in zip(to.counts, histogram.counts, strict=True)]
    to.total += histogram.total
