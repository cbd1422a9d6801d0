"""Pairs by what was asked: which part of the traffic gets other answers? Pure; called by the admin API and the console.

Decides the buckets of a column: its values, or quarters of its numbers when they are many. Rates are of a fair sample
of all pairs (store/pairs.py), so they are rates of the traffic; with few pairs in a bucket, look at the interval.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from headrace.types.pair import Pair

VALUES = 12  # different ones that are told apart; of texts, the others are one bucket
NOT_GIVEN, OTHERS = "(not given)", "(others)"
_Z = 1.96  # of a 95 % interval

Bucket = Callable[[Any], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """`flips`: of the sampled pairs in it, failures included; with Wilson's 95 % interval of the rate."""

    value: str
    pairs: int
    flips: float
    rate: float
    low: float
    high: float
    deviation: float  # the mean


def columns(pairs: Iterable[Pair]) -> tuple[str, ...]:
    """What pairs can be looked at by."""
    return tuple(sorted({name for pair in pairs for name in pair.segment}))


def segments(sample: Sequence[Pair], by: str) -> tuple[Segment, ...]:
    """The worst rate first."""
    bucket = bucket_of(sample, by)
    found: dict[str, list[Pair]] = {}
    for pair in sample:
        found.setdefault(bucket(pair.segment.get(by)), []).append(pair)
    made = [_segment(value, members) for value, members in found.items()]
    return tuple(sorted(made, key=lambda s: (-s.rate, -s.pairs, s.value)))


def within(pairs: Iterable[Pair], sample: Sequence[Pair], by: str, value: str) -> tuple[Pair, ...]:
    """Those of one bucket, in their order."""
    bucket = bucket_of(sample, by)
    return tuple(pair for pair in pairs if bucket(pair.segment.get(by)) == value)


def bucket_of(sample: Sequence[Pair], by: str) -> Bucket:
    """Fixed by the sample, so that the same value is in the same bucket everywhere on a page."""
    given = [pair.segment[by] for pair in sample if pair.segment.get(by) is not None]
    numbers = sorted(float(value) for value in given if _is_number(value))
    if len(numbers) == len(given) and len(set(numbers)) > VALUES:
        edges = sorted({numbers[len(numbers) * quarter // 4] for quarter in (1, 2, 3)})
        return lambda value: _range(edges, value)
    counts: dict[str, int] = {}
    for value in given:
        counts[_text(value)] = counts.get(_text(value), 0) + 1
    common = set(sorted(counts, key=lambda text: (-counts[text], text))[:VALUES])
    return lambda value: NOT_GIVEN if value is None else text if (text := _text(value)) in common else OTHERS


def wilson(events: float, units: int) -> tuple[float, float]:
    """Of a rate (Wilson 1927); `units` is positive."""
    rate, spread = events / units, _Z * _Z / units
    centre, half = rate + spread / 2, sqrt(spread * (rate * (1 - rate) + spread / 4))
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))


def _segment(value: str, pairs: Sequence[Pair]) -> Segment:
    flips = sum(1.0 if pair.error else pair.difference.flips for pair in pairs)
    low, high = wilson(flips, len(pairs))
    return Segment(
        value=value,
        pairs=len(pairs),
        flips=flips,
        rate=flips / len(pairs),
        low=low,
        high=high,
        deviation=sum(pair.difference.deviation for pair in pairs) / len(pairs),
    )


def _range(edges: Sequence[float], value: Any) -> str:
    if not _is_number(value):
        return NOT_GIVEN
    at = bisect_right(edges, float(value))
    if at == 0:
        return f"< {edges[0]:g}"
    return f"≥ {edges[-1]:g}" if at == len(edges) else f"{edges[at - 1]:g} – {edges[at]:g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}" if _is_number(value) else str(value).lower()
