"""The difference of two arms' means of a metric with bounds: e-values by betting, valid however often one looks.

Called by advance.py for metrics with a low and a high end (a rating, a judge's score, a cost with a cap). Pure.
docs/design/release-statistics.md derives it and shows it by simulation. arms.py says what a term z is.

*Harm.* A term cannot fall below -d, d = max((1 - q) m, q (1 - m)). If the candidate is not worse its expectation is at
most 0, so a stake c of the largest loss gives a factor 1 + c z / d of expectation at most 1: products, and their
average over stakes, are e-processes (Waudby-Smith & Ramdas 2024). It asks for no distribution: bounds are enough.

*Not worse.* The same with q (1 - q) x margin - z, against "worse by the margin or more".

*Interval.* A predictable plug-in empirical-Bernstein confidence sequence (ibid., theorem 2) for terms whose bounds move
with share and guess: of the difference, or, while the difference itself moves, of its weighted average. For people
to read; the bets find harm sooner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log

import numpy as np

from headrace.release.arms import Bools, Floats, guesses, seen, split, terms
from headrace.types.errors import BadInput
from headrace.types.score import Bets, Bound, Reading, Score

STAKES = tuple(0.0025 * 2**k for k in range(9))  # of the largest that cannot lose everything: 0.0025 to 0.64
CAUTION = 0.5  # the largest stake behind the interval
DESIGN = log(2 / 0.05)  # the interval is sharpest for α = 5 %, and valid for any

_STAKES = np.array(STAKES)[:, None]


def begin(*, low: float, high: float, margin: float, higher_is_better: bool) -> Bets:
    """Before anything was seen. `margin`: how much worse, in units of the metric, does not matter; under high - low."""
    if not low < high or not 0 <= margin < high - low:
        limits = "low is below high, and the margin at least 0 and below high - low"
        raise BadInput(f"low {low!r}, high {high!r}, margin {margin!r} do not fit: {limits}", field="margin")
    nothing = (0.0,) * len(STAKES)
    return Bets(low=low, high=high, higher_is_better=higher_is_better, margin=margin, harm=nothing, not_worse=nothing)


def add(state: Bets, scores: Sequence[Score], share: float) -> Bets:
    """`share`: the chance with which units got the candidate when these were assigned, not what came of it.

    A value beyond the bounds counts as the bound. With a share of 0 or 1 there is nothing to compare.
    """
    return learn(state, *split(scores), share)


def learn(state: Bets, candidate: Bools, values: Floats, share: float) -> Bets:
    """The same from arrays."""
    if not len(values) or not 0 < share < 1:
        return state
    values = np.clip(values, state.low, state.high)
    units, total = state.baseline.units + state.candidate.units, _total(state)
    bad = _bad(state, values)
    guess = guesses(bad, total=total + 0.5, units=units + 1)  # as if one score in the middle had been seen
    term = terms(candidate, bad, guess, share)
    harm, not_worse = factors(term, guess, share, state.margin / (state.high - state.low))
    down, up = _reach(guess, share)
    return replace(
        state,
        harm=tuple((np.array(state.harm) + harm.sum(axis=1)).tolist()),
        not_worse=tuple((np.array(state.not_worse) + not_worse.sum(axis=1)).tolist()),
        baseline=seen(state.baseline, values[~candidate]),
        candidate=seen(state.candidate, values[candidate]),
        score=state.score + float(term.sum()),
        information=state.information + share * (1 - share) * len(values),
        lower=_bound(state.lower, term / down, down, _prior(guess, share, down), units, share),
        upper=_bound(state.upper, -term / up, up, _prior(guess, share, up), units, share),
    )


def factors(term: Floats, guess: Floats, share: float | Floats, margin: float) -> tuple[Floats, Floats]:
    """Logarithms of the factors of harm and of not worse: stakes x scores."""
    down, up = _reach(guess, share)
    allowed = share * (1 - share) * margin
    harm: Floats = np.log1p(_STAKES * (term / down))
    not_worse: Floats = np.log1p(_STAKES * ((allowed - term) / (up - allowed)))
    return harm, not_worse


def harm(state: Bets) -> float:
    """Logarithm of the e-value against "the candidate is not worse"."""
    return _mean(state.harm)


def not_worse(state: Bets) -> float:
    """Logarithm of the e-value against "the candidate is worse by the margin or more"."""
    return _mean(state.not_worse)


def interval(state: Bets, alpha: float) -> tuple[float, float]:
    """Of candidate minus baseline; covers it at all times at once with probability 1 - alpha."""
    width = state.high - state.low
    least, most = _edge(state.lower, alpha), -_edge(state.upper, alpha)
    least, most = max(-1.0, least) * width, min(1.0, most) * width
    return (-most, -least) if state.higher_is_better else (least, most)


def reading(state: Bets, alpha: float) -> Reading:
    """The difference with its interval."""
    low, high = interval(state, alpha)
    return Reading(difference=difference(state), low=low, high=high, always=True)


def difference(state: Bets) -> float:
    """Candidate minus baseline; 0 while nothing is known."""
    bad = state.score / state.information * (state.high - state.low) if state.information else 0.0
    return -bad if state.higher_is_better else bad


def _bad(state: Bets, values: Floats) -> Floats:
    """From 0 to 1, and 1 is bad."""
    distance = state.high - values if state.higher_is_better else values - state.low
    bad: Floats = distance / (state.high - state.low)
    return bad


def _total(state: Bets) -> float:
    """Of the bad parts of all scores seen."""
    value = sum(arm.units * arm.mean for arm in (state.baseline, state.candidate))
    units = state.baseline.units + state.candidate.units
    bad = units * state.high - value if state.higher_is_better else value - units * state.low
    return bad / (state.high - state.low)


def _reach(guess: Floats, share: float | Floats) -> tuple[Floats, Floats]:
    """How far a term can fall and rise."""
    down = np.maximum((1 - share) * guess, share * (1 - guess))
    up = np.maximum((1 - share) * (1 - guess), share * guess)
    return down, up


def _prior(guess: Floats, share: float, reach: Floats) -> Floats:
    """The largest variance that a term with this guess can have, before any was seen."""
    prior: Floats = share * (1 - share) * guess * (1 - guess) / reach**2
    return prior


def _bound(had: Bound, part: Floats, reach: Floats, prior: Floats, units: int, share: float) -> Bound:
    """`part`: the terms as parts of `reach`, so that none is below -1."""
    number = units + 1 + np.arange(len(part))
    squares = had.squares + np.cumsum(part**2)
    variance = (prior + squares - part**2) / number
    stake = np.minimum(CAUTION, np.sqrt(2 * DESIGN / (np.maximum(variance, 1e-12) * number * np.log1p(number))))
    return Bound(
        squares=float(squares[-1]),
        total=had.total + float((stake * part).sum()),
        cost=had.cost + float(((-np.log1p(-stake) - stake) * part**2).sum()),
        weight=had.weight + float((stake / reach).sum()) * share * (1 - share),
    )


def _edge(bound: Bound, alpha: float) -> float:
    if not bound.weight:
        return -1.0
    return (bound.total - bound.cost - log(2 / alpha)) / bound.weight


def _mean(logs: Sequence[float]) -> float:
    """log(mean(exp(logs))) without overflow."""
    top = max(logs)
    return top + log(sum(exp(each - top) for each in logs) / len(logs))
