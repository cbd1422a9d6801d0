"""Does the difference between the versions last? Early units against late ones. Pure.

Called for the results page of an A/B test. People click on what is new because it is new, and grumble at it for the
same reason; a difference that wears off (or grows) while the test runs is not the one that promotion will bring. It is
a note for the reader and decides nothing.

Each part (an interval, a day) is compared within itself, so that neither ramp nor drift of the base level counts, and
parts are weighted by what they know: baseline x candidate units / their sum (Mantel & Haenszel 1959).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from math import inf, sqrt

from headrace.types.release import Tally
from headrace.types.score import Arm

LEAST = 100.0  # effective units on each side: 200 of each arm
CLEAR = 2.576  # standard errors, which chance alone reaches once in a hundred

Part = tuple[Arm, Arm]  # baseline, candidate


class Course(StrEnum):
    """How the difference goes on."""

    UNKNOWN = "unknown"  # too few units to say
    STEADY = "steady"  # late units differ as much as early ones, as far as one can see
    FADING = "fading"  # it was larger in the beginning: a novelty that wears off
    GROWING = "growing"  # it is larger now: users had to learn, or something builds up
    TURNED = "turned"  # it was on the other side in the beginning


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Candidate minus baseline, and its standard error."""

    difference: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Novelty:
    course: Course
    early: Effect
    late: Effect


def novelty(parts: Sequence[Part]) -> Novelty:
    """`parts` in the order of time, halved where half of what they know was known."""
    known = [part for part in parts if _weight(part)]
    sums = list(accumulate(_weight(part) for part in known))
    half = sum(1 for each in sums if each <= sums[-1] / 2) if sums else 0
    early, late = known[:half], known[half:]
    effects = _effect(early), _effect(late)
    if min(sum(map(_weight, early)), sum(map(_weight, late))) < LEAST:
        return Novelty(course=Course.UNKNOWN, early=effects[0], late=effects[1])
    return Novelty(course=_course(*effects), early=effects[0], late=effects[1])


def part_of(tally: Tally) -> Part:
    """Events as values of 0 and 1."""
    return _rate(tally.baseline_events, tally.baseline_units), _rate(tally.candidate_events, tally.candidate_units)


def _course(early: Effect, late: Effect) -> Course:
    error = sqrt(early.error**2 + late.error**2)
    if abs(late.difference - early.difference) < CLEAR * error or not error:
        return Course.STEADY
    if early.difference * late.difference < 0 and all(abs(e.difference) >= CLEAR * e.error for e in (early, late)):
        return Course.TURNED
    return Course.FADING if abs(late.difference) < abs(early.difference) else Course.GROWING


def _effect(parts: Sequence[Part]) -> Effect:
    weight = sum(map(_weight, parts))
    if not weight:
        return Effect(difference=0.0, error=inf)
    difference = sum(_weight(part) * (part[1].mean - part[0].mean) for part in parts) / weight
    freedom = sum(arm.units - 1 for part in parts for arm in part)
    variance = sum(arm.squares for part in parts for arm in part) / freedom if freedom else 0.0
    return Effect(difference=difference, error=sqrt(variance / weight))


def _weight(part: Part) -> float:
    baseline, candidate = part
    units = baseline.units + candidate.units
    return baseline.units * candidate.units / units if units else 0.0


def _rate(events: int, units: int) -> Arm:
    rate = events / units if units else 0.0
    return Arm(units=units, mean=rate, squares=events * (1 - rate))
