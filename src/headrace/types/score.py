"""Numbers that units bring (a rating, a cost, a business metric), and what the tests of such numbers remember.

A unit gives one score in a scope: scores of one user are not independent, and two of them would count as two people.
The states are small, frozen, and made of floats, so that they are stored with the evidence and replayed bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    candidate: bool  # the arm that the unit was assigned to
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What was seen of one arm, as it is; of no use for a test while shares change."""

    units: int = 0
    mean: float = 0.0
    squares: float = 0.0  # of the deviations from the mean

    @property
    def variance(self) -> float:
        return self.squares / (self.units - 1) if self.units > 1 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One side of a confidence sequence: sums over scores, each as a part of the largest loss it could bring."""

    total: float = 0.0
    squares: float = 0.0
    information: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bets:
    """The tests of a metric between `low` and `high`. Inside, a score runs from 0 to 1, and 1 is bad.

    Logarithms of e-values, one for each stake: `harm` against "not worse", `not_worse` against "worse by the margin".
    """

    low: float
    high: float
    higher_is_better: bool
    margin: float  # of the metric, absolute
    harm: tuple[float, ...]
    not_worse: tuple[float, ...]
    baseline: Arm = Arm()
    candidate: Arm = Arm()
    score: float = 0.0  # its expectation is information x difference
    information: float = 0.0
    lower: Bound = Bound()
    upper: Bound = Bound()


@dataclass(frozen=True, slots=True, kw_only=True)
class Normal:
    """The tests of a metric without bounds: they rest on the central limit theorem. Inside, more is bad."""

    higher_is_better: bool
    margin: float  # of the metric, absolute
    baseline: Arm = Arm()
    candidate: Arm = Arm()
    score: float = 0.0  # its expectation is information x difference
    information: float = 0.0
    squares: float = 0.0  # of the scores
    cross: float = 0.0  # of score x information
    information_squares: float = 0.0
    free: float = 0.0  # by so much worse is no harm: after a switch


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A difference, candidate minus baseline, and the interval that may be quoted with it."""

    difference: float
    low: float
    high: float
    always: bool  # valid however often one looks; else only when it is read once, at the horizon fixed beforehand
    asymptotic: bool = False  # rests on the central limit theorem
