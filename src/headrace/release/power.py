"""How long a release will take, and the smallest difference that it can see, at today's traffic. Pure.

Called by the dry run of a plan and by the console ("held: 212 users so far, need about 480"). It plans; it never
judges.

An e-value is an average over alternatives, and the logarithm of each grows with every chance by an amount of known mean
and variance: about a Brownian motion with drift. The time is the one at which the fastest of them, less what the
others cost, has reached the limit with probability `power` (inverse Gaussian; 0.5 is the median). A handful of
events is nothing like a Brownian motion; where FEW of them are enough, their paths are counted one by one.

A chance is, for events, a call of a unit at risk; for scores, a unit's first one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf, lgamma, log, log1p, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from headrace.release import asymptotic
from headrace.release.betting import STAKES
from headrace.release.evalue import BETS, HARM, SAFE

MOST = 1e12  # chances; what needs more is never
RATIO = 1_000.0  # the largest odds ratio that is looked for
FEW = 150  # events

Outcome = tuple[float, Sequence[float]]  # its probability, and by how much each alternative's logarithm grows


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """`per_second`: chances of both arms together. `share`: the candidate's, of one."""

    per_second: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What a bounded metric looks like today, on the baseline."""

    mean: float
    deviation: float
    low: float
    high: float
    higher_is_better: bool


# --- events


def seconds_to_harm(traffic: Traffic, *, rate: float, ratio: float, limit: float, power: float = 0.5) -> float:
    """Until the release is rolled back when the candidate has `ratio` times the events. `limit`: log of the e-value."""
    q = traffic.share
    on = [log(r) - log(1 - q + q * r) for r in HARM]
    off = [-log(1 - q + q * r) for r in HARM]
    return _seconds(traffic, _events(q, rate, ratio, on=on, off=off), limit, power)


def seconds_to_not_worse(traffic: Traffic, *, rate: float, margin: float, limit: float, power: float = 0.5) -> float:
    """Until a candidate that is equal is proven not worse by the odds ratio `margin`."""
    q = traffic.share
    at_margin = log(1 - q + q * margin)
    off = [at_margin - log(1 - q + q * r) for r in SAFE]
    on = [each + log(r / margin) for each, r in zip(off, SAFE, strict=True)]
    return _seconds(traffic, _events(q, rate, 1.0, on=on, off=off), limit, power)


def seconds_to_tolerable(traffic: Traffic, *, rate: float, tolerance: float, limit: float, power: float = 0.5) -> float:
    """Until a candidate whose events have this rate is proven to stay below `tolerance`."""
    stakes = [bet / (1 - tolerance) for bet in BETS]
    good = [log1p(stake * tolerance) for stake in stakes]
    bad = [log1p(-stake * (1 - tolerance)) for stake in stakes]
    q = traffic.share
    return _seconds(traffic, [(q * rate, bad), (q * (1 - rate), good)], limit, power)


def smallest_ratio(traffic: Traffic, *, rate: float, seconds: float, limit: float, power: float = 0.8) -> float:
    """The smallest odds ratio that is found within these seconds; infinite when none is."""

    def takes(ratio: float) -> float:
        return seconds_to_harm(traffic, rate=rate, ratio=ratio, limit=limit, power=power)

    return _smallest(takes, seconds, 1.0, RATIO)


# --- scores with bounds


def seconds_to_worse_mean(
    traffic: Traffic, values: Values, *, difference: float, limit: float, power: float = 0.5
) -> float:
    """Until the release is rolled back when the candidate's mean is worse by `difference`."""
    return _seconds(traffic, _scores(traffic.share, values, difference, margin=None), limit, power)


def seconds_to_mean_not_worse(
    traffic: Traffic, values: Values, *, margin: float, limit: float, power: float = 0.5
) -> float:
    """Until a candidate that is equal is proven not worse by `margin`."""
    return _seconds(traffic, _scores(traffic.share, values, 0.0, margin=margin), limit, power)


def smallest_difference(traffic: Traffic, values: Values, *, seconds: float, limit: float, power: float = 0.8) -> float:
    """The smallest worsening of the mean that is found within these seconds; infinite when none is."""
    room = values.mean - values.low if values.higher_is_better else values.high - values.mean

    def takes(difference: float) -> float:
        return seconds_to_worse_mean(traffic, values, difference=difference, limit=limit, power=power)

    return _smallest(takes, seconds, 0.0, room)


# --- scores without bounds


def seconds_to_drift(
    traffic: Traffic, *, deviation: float, difference: float, limit: float, power: float = 0.5
) -> float:
    """Until the asymptotic test finds a mean worse by `difference`, or with that as margin its absence."""
    information = traffic.share * (1 - traffic.share)
    if not information or difference <= 0:
        return inf
    below = NormalDist().inv_cdf(power)

    def reached(chances: float) -> bool:
        time = chances * information
        moved = time * difference / deviation - below * sqrt(time)
        return asymptotic.log_e(moved, time) >= limit

    least = asymptotic.LEAST / min(traffic.share, 1 - traffic.share)
    return max(least, _first(reached)) / traffic.per_second


# --- from outcomes to chances


def _events(share: float, rate: float, ratio: float, *, on: list[float], off: list[float]) -> list[Outcome]:
    return [(share * _times(rate, ratio), on), ((1 - share) * rate, off)]


def _times(rate: float, ratio: float) -> float:
    """The rate whose odds are `ratio` times as high."""
    return rate * ratio / (1 - rate + rate * ratio)


def _scores(share: float, values: Values, worse: float, *, margin: float | None) -> list[Outcome]:
    """Each arm's values as two points of its mean and deviation, bet on as betting.py does once the mean is known."""
    if not 0 < share < 1:
        return [(1.0, [0.0])]  # there is nothing to compare, so nothing grows
    width = values.high - values.low
    bad = (values.high - values.mean if values.higher_is_better else values.mean - values.low) / width
    shift, deviation = worse / width, values.deviation / width
    guess = bad + share * shift
    down = max((1 - share) * guess, share * (1 - guess))
    up = max((1 - share) * (1 - guess), share * guess)
    allowed = share * (1 - share) * (margin or 0.0) / width
    outcomes: list[Outcome] = []
    for arm, chance, mean in ((1.0, share, bad + shift), (0.0, 1 - share, bad)):
        for point, part in _two_points(mean, deviation):
            term = (arm - share) * (point - guess)
            move = term / down if margin is None else (allowed - term) / (up - allowed)
            outcomes.append((chance * part, [log1p(stake * move) for stake in STAKES]))
    return outcomes


def _two_points(mean: float, deviation: float) -> list[tuple[float, float]]:
    """Two values in [0, 1] and their probabilities, with this mean and, if that can be, this deviation."""
    mean = min(max(mean, 0.0), 1.0)
    variance = min(deviation**2, mean * (1 - mean))
    if not variance:
        return [(mean, 1.0)]
    low, high = mean - sqrt(variance), mean + sqrt(variance)
    if low < 0:
        low, high = 0.0, mean + variance / mean
    elif high > 1:
        low, high = mean - variance / (1 - mean), 1.0
    above = (mean - low) / (high - low)
    return [(low, 1 - above), (high, above)]


def _seconds(traffic: Traffic, outcomes: Sequence[Outcome], limit: float, power: float) -> float:
    growths: list[tuple[float, float]] = []
    for alternative in zip(*(logs for _, logs in outcomes), strict=True):
        pairs = [(chance, grows) for (chance, _), grows in zip(outcomes, alternative, strict=True)]
        mean = sum(chance * grows for chance, grows in pairs)
        growths.append((mean, sum(chance * grows**2 for chance, grows in pairs) - mean**2))
    best = max(range(len(growths)), key=lambda number: growths[number][0])
    if growths[best][0] <= 0:
        return inf

    if len(outcomes) == 2 and (few := _by_counting(outcomes, limit, power)):
        return few / traffic.per_second

    def reached(chances: float) -> bool:
        logs = [chances * mean for mean, _ in growths]
        cost = log(sum(exp(each - logs[best]) for each in logs) / len(logs))  # of not knowing which one is right
        return _passed(growths[best], limit - cost, chances) >= power

    return _first(reached) / traffic.per_second


def _passed(growth: tuple[float, float], limit: float, chances: float) -> float:
    """The chance that a Brownian motion with this drift and variance has been above the limit by then."""
    mean, variance = growth
    spread = sqrt(variance * chances)
    if not spread:
        return float(mean * chances >= limit)
    below = NormalDist()
    echo = 2 * mean * limit / variance
    passed = below.cdf((mean * chances - limit) / spread)
    return passed + (exp(echo) * below.cdf(-(limit + mean * chances) / spread) if echo < 500 else 0.0)


def _by_counting(outcomes: Sequence[Outcome], limit: float, power: float) -> float:
    """The same where one of two things happens: how many chances, exactly; 0 when FEW events are not enough."""
    (on, grows_on), (off, grows_off) = outcomes
    chance = on / (on + off)
    passed = np.zeros(FEW + 1)  # by the number of events
    alive = np.array([1.0])  # by how many of them were the first thing
    for events, over in enumerate(_over(tuple(grows_on), tuple(grows_off), limit), start=1):
        alive = np.append(alive * (1 - chance), 0.0) + np.append(0.0, alive * chance)
        passed[events] = passed[events - 1] + alive[over].sum()
        alive[over] = 0.0
    if passed[FEW] < power:
        return 0.0
    factorials = np.array([lgamma(events + 1) for events in range(FEW + 1)])

    def reached(chances: float) -> bool:
        expected = chances * (on + off)
        poisson = np.exp(np.arange(FEW + 1) * log(expected) - expected - factorials)
        return float(poisson @ passed + (1 - poisson.sum()) * passed[FEW]) >= power

    return _first(reached)


@lru_cache(maxsize=64)
def _over(grows_on: tuple[float, ...], grows_off: tuple[float, ...], limit: float) -> list[NDArray[np.bool_]]:
    """For 1 to FEW events: with which numbers of the first thing among them the limit is reached."""
    found = []
    for events in range(1, FEW + 1):
        number = np.arange(events + 1)[:, None]
        logs = number * np.array(grows_on) + (events - number) * np.array(grows_off)
        found.append(np.logaddexp.reduce(logs, axis=1) - log(len(grows_on)) >= limit)
    return found


def _first(reached: Callable[[float], bool]) -> float:
    """The number of chances from which it is so; infinite when there is none."""
    high = 1.0
    while not reached(high):
        high *= 2
        if high > MOST:
            return inf
    low = high / 2
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _smallest(takes: Callable[[float], float], seconds: float, low: float, high: float) -> float:
    if takes(high) > seconds:
        return inf
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (low, middle) if takes(middle) <= seconds else (middle, high)
    return high
