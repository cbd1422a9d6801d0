"""The difference of two arms' means of a metric with bounds: e-values by betting, valid however often one looks.

Called by advance.py for metrics with a low and a high end (a rating, a judge's score, a cost with a cap). Pure.
docs/design/release-statistics.md derives it and shows it by simulation. arms.py says what a term z is.

*Harm.* A term cannot fall below -d, d = max((1 - q) m, q (1 - m)). If the candidate is not worse its expectation is at
most 0, so a stake c of the largest loss gives a factor 1 + c z / d of expectation at most 1: products, and their
average over stakes, are e-processes (Waudby-Smith & Ramdas 2024). It asks for no distribution: bounds are enough.

*Not worse.* The same with q (1 - q) x margin - z, against "worse by the margin or more".

*Interval.* For x >= -1 and 0 < λ < 1, exp(λx - ψ(λ) x²) <= 1 + λx, ψ(λ) = -log(1 - λ) - λ (Fan, Grama, Liu 2015). So
with x = z / d a difference τ is refuted once the mean over λ of exp(λ Σ(x - q(1-q)τ/d) - ψ(λ) Σx²) reaches 2/α: an
empirical-Bernstein confidence sequence of which three sums are all there is to keep, for any α. It covers the
difference or, while that itself moves, its weighted average. For people to read; the bets find harm sooner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log, log1p

import numpy as np

from headrace.release.arms import Bools, Floats, guesses, left, seen, split, terms
from headrace.release.logs import mean
from headrace.types.errors import BadInput
from headrace.types.score import Bets, Bound, Reading, Score

STAKES = tuple(0.0025 * 2**k for k in range(9))  # of the largest that cannot lose everything: 0.0025 to 0.64
SLOPES = tuple(0.0005 * 2**k for k in range(11))  # λ: 0.0005 for a million units and more, to 0.512 for some tens

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
        lower=_bound(state.lower, term / down, share * (1 - share) / down),
        upper=_bound(state.upper, -term / up, share * (1 - share) / up),
    )


def add_matched(state: Bets, scores: Sequence[Score]) -> Bets:
    """Of units before and after a switch, in an order that knows nothing of either: who comes next is of the arm with
    the share of it among those left. Harm is worse by more than the margin here: before and after are no equals."""
    candidate, values = split(scores)
    if not len(values):
        return state
    share, values = left(candidate), np.clip(values, state.low, state.high)
    units, total = state.baseline.units + state.candidate.units, _total(state)
    bad = _bad(state, values)
    guess = guesses(bad, total=total + 0.5, units=units + 1)
    term = terms(candidate, bad, guess, share)
    harm, _ = factors(term, guess, share, 0.0, free=state.margin / (state.high - state.low))
    return replace(
        state,
        harm=tuple((np.array(state.harm) + harm.sum(axis=1)).tolist()),
        baseline=seen(state.baseline, values[~candidate]),
        candidate=seen(state.candidate, values[candidate]),
        score=state.score + float(term.sum()),
        information=state.information + float((share * (1 - share)).sum()),
    )


def factors(
    term: Floats, guess: Floats, share: float | Floats, margin: float, *, free: float = 0.0
) -> tuple[Floats, Floats]:
    """Logarithms of the factors of harm and of not worse: stakes x scores. `free`: by so much worse is no harm."""
    down, up = _reach(guess, share)
    allowed, spared = share * (1 - share) * margin, share * (1 - share) * free
    harm: Floats = np.log1p(_STAKES * ((term - spared) / (down + spared)))
    not_worse: Floats = np.log1p(_STAKES * ((allowed - term) / (up - allowed)))
    return harm, not_worse


def harm(state: Bets) -> float:
    """Logarithm of the e-value against "the candidate is not worse"."""
    return mean(state.harm)


def not_worse(state: Bets) -> float:
    """Logarithm of the e-value against "the candidate is worse by the margin or more"."""
    return mean(state.not_worse)


def interval(state: Bets, alpha: float) -> tuple[float, float]:
    """Of candidate minus baseline; covers it at all times at once with probability 1 - alpha."""
    width = state.high - state.low
    least, most = _edge(state.lower, alpha) * width, -_edge(state.upper, alpha) * width
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


def _bound(had: Bound, part: Floats, information: Floats) -> Bound:
    """`part`: the terms as parts of how far they can fall, so that none is below -1."""
    return Bound(
        total=had.total + float(part.sum()),
        squares=had.squares + float((part**2).sum()),
        information=had.information + float(information.sum()),
    )


def _edge(bound: Bound, alpha: float) -> float:
    """The largest difference that is refuted as too small."""

    def refuted(difference: float) -> bool:
        drift = bound.total - difference * bound.information
        logs = [slope * drift + (log1p(-slope) + slope) * bound.squares for slope in SLOPES]
        return mean(logs) >= log(2 / alpha)

    low, high = -1.0, 1.0
    if not refuted(low):
        return low
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low
