"""Evidence that a candidate is better, which may be looked at as often as one likes. Pure.

Called by intervals.py for each turn, and by the reading of judged shadow pairs. Rows that both answer alike say
nothing. Of those that differ, each is a coin: heads when the candidate is better. Were it no better, heads would come
with probability 1/2 at most, and

    e = (2 ^ n) * integral over p from 1/2 to 1 of p^heads (1-p)^tails 2 dp

is a fair bet against that: whatever p <= 1/2 is true and whenever one stops, it exceeds 1/alpha with probability alpha
at most (Ville, 1939; Robbins, 1970, "Statistical methods related to the law of the iterated logarithm"). An ordinary
test that is looked at 50 times is wrong in a third of all cases (tests/unit/flywheel/test_looks.py has both).
"""

from __future__ import annotations

from math import exp, inf, lgamma, log, log1p

CAP = 700.0  # of the logarithm: a float ends there


def evidence(better: int, worse: int) -> float:
    """The e-value that the candidate wins more than half of the rows that differ."""
    return exp(min(log_evidence(better, worse), CAP))


def log_evidence(better: int, worse: int) -> float:
    """Exact: the half of a Beta(better + 1, worse + 1) that lies above 1/2, as a sum of a binomial's lower half."""
    differ = better + worse
    log_beta = lgamma(better + 1) + lgamma(worse + 1) - lgamma(differ + 2)
    return (differ + 1) * log(2) + log_beta + _log_above_half(better, worse)


def wins_needed(alpha: float, win: float) -> float:
    """About how many rows that differ it takes at a share `win` of wins; infinite at 1/2 or less."""
    if win <= 0.5:
        return inf
    low, high = 1, 2
    while _at(high, win) < log(1 / alpha):
        high *= 2
        if high > 1 << 30:
            return inf
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _at(middle, win) >= log(1 / alpha) else (middle + 1, high)
    return float(high)


def _at(differ: int, win: float) -> float:
    better = round(differ * win)
    return log_evidence(better, differ - better)


def _log_above_half(better: int, worse: int) -> float:
    """log P(Beta(better + 1, worse + 1) > 1/2) = log P(Binomial(better + worse + 1, 1/2) <= better)."""
    n = better + worse + 1
    if better >= n - 1:
        return log1p(-exp(-n * log(2)))
    if 2 * better > n:  # the larger part is above: one less the small tail is exact there
        return log1p(-min(exp(_log_tail(n, worse)), 1 - 1e-16))
    return _log_tail(n, better)


def _log_tail(n: int, upto: int) -> float:
    """log P(Binomial(n, 1/2) <= upto), summed from the largest term down."""
    if upto < 0:
        return -inf
    top = lgamma(n + 1) - lgamma(upto + 1) - lgamma(n - upto + 1)
    total, term, k = 1.0, 1.0, upto
    while k > 0 and term > 1e-18 * total:
        term *= k / (n - k + 1)
        total += term
        k -= 1
    return min(0.0, top + log(total) - n * log(2))
