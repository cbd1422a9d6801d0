"""The difference of two arms' means of a metric without bounds: valid at every look, once there are enough scores.

Called by advance.py for metrics that nobody can give a low and a high end (revenue, basket size, tokens). Pure. What it
says is marked "asymptotic": it rests on the central limit theorem, and until LEAST units of each arm were seen
it says nothing. Where bounds are known, betting.py promises more.

arms.py says what a term z is. With the information T = Σ q (1 - q) as time and the terms' own spread σ, Σz / σ is close
to a Brownian motion with drift; mixing its likelihood ratio over drifts of scale ρ (for the one-sided e-value: over
positive ones) gives the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import erfc, inf, log, sqrt

import numpy as np

from headrace.release.arms import Bools, Floats, guesses, left, seen, split, terms
from headrace.types.errors import BadInput
from headrace.types.score import Normal, Reading, Score

LEAST = 100  # units of each arm before anything is said
CENTRED = 10  # the first scores only say where the middle is
SHARPEST = 500.0  # the information at which the interval is narrowest: 2,000 units at one half, 5,600 at 10 %

_RHO2 = (-2 * log(0.05) + log(1 - 2 * log(0.05))) / SHARPEST  # ibid., appendix B.2, for α = 5 %


def begin(*, margin: float, higher_is_better: bool) -> Normal:
    """Before anything was seen. `margin`: how much worse, in units of the metric, does not matter."""
    if margin < 0:
        raise BadInput(f"margin is {margin!r}; how much worse does not matter is 0 or more", field="margin")
    return Normal(higher_is_better=higher_is_better, margin=margin)


def add(state: Normal, scores: Sequence[Score], share: float) -> Normal:
    """`share`: the chance with which units got the candidate when these were assigned, not what came of it."""
    return learn(state, *split(scores), share)


def learn(state: Normal, candidate: Bools, values: Floats, share: float) -> Normal:
    """The same from arrays."""
    if not len(values) or not 0 < share < 1:
        return state
    return _learn(state, candidate, values, np.full(len(values), share))


def add_matched(state: Normal, scores: Sequence[Score]) -> Normal:
    """Of units before and after a switch: as betting.add_matched."""
    candidate, values = split(scores)
    if not len(values):
        return state
    learnt = _learn(state, candidate, values, left(candidate))
    return replace(learnt, free=learnt.margin)


def _learn(state: Normal, candidate: Bools, values: Floats, share: Floats) -> Normal:
    arms = (state.baseline, state.candidate)
    units, total = sum(arm.units for arm in arms), sum(arm.units * arm.mean for arm in arms)
    learnt = replace(
        state,
        baseline=seen(state.baseline, values[~candidate]),
        candidate=seen(state.candidate, values[candidate]),
    )
    first = max(0, CENTRED - units)
    if first >= len(values):
        return learnt
    total += float(values[:first].sum())
    rest, on, share = values[first:], candidate[first:], share[first:]
    term = terms(on, rest, guesses(rest, total=total, units=units + first), share)
    if state.higher_is_better:
        term = -term
    each = share * (1 - share)
    return replace(
        learnt,
        score=state.score + float(term.sum()),
        information=state.information + float(each.sum()),
        squares=state.squares + float((term**2).sum()),
        cross=state.cross + float((each * term).sum()),
        information_squares=state.information_squares + float((each * each).sum()),
    )


def harm(state: Normal) -> float:
    """Logarithm of the asymptotic e-value against "the candidate is not worse"."""
    return _drifts_up(state, state.score - state.free * state.information)


def not_worse(state: Normal) -> float:
    """Logarithm of the asymptotic e-value against "the candidate is worse by the margin or more"."""
    return _drifts_up(state, state.margin * state.information - state.score)


def interval(state: Normal, alpha: float) -> tuple[float, float]:
    """Of candidate minus baseline; infinite while there are too few scores."""
    spread, time = _spread(state), state.information
    if not spread:
        return -inf, inf
    grown = 1 + time * _RHO2
    half = spread * sqrt(grown / _RHO2 * log(grown / alpha**2)) / time
    middle = difference(state)
    return middle - half, middle + half


def reading(state: Normal, alpha: float) -> Reading:
    """The difference with its interval."""
    low, high = interval(state, alpha)
    return Reading(difference=difference(state), low=low, high=high, always=True, asymptotic=True)


def difference(state: Normal) -> float:
    """Candidate minus baseline; 0 while nothing is known."""
    bad = state.score / state.information if state.information else 0.0
    return -bad if state.higher_is_better else bad


def log_e(moved: float, time: float) -> float:
    """Logarithm of the e-value against "drifts down or not at all" of a motion that has moved so far in this time."""
    grown = 1 + time * _RHO2
    standard = max(-37.0, moved * sqrt(_RHO2 / grown))  # below, the normal distribution function is 0 in floats
    return standard**2 / 2 - log(grown) / 2 + log(erfc(-standard / sqrt(2)))


def _drifts_up(state: Normal, score: float) -> float:
    spread = _spread(state)
    return log_e(score / spread, state.information) if spread else 0.0


def _spread(state: Normal) -> float:
    """Of a term, per root of information; 0 while there are too few to say."""
    if min(state.baseline.units, state.candidate.units) < LEAST:
        return 0.0
    rate = state.score / state.information
    variance = state.squares - 2 * rate * state.cross + rate * rate * state.information_squares
    return sqrt(max(0.0, variance) / state.information)
