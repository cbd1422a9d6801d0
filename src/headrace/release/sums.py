"""What was compared, added up over intervals, and read by people. Pure.

Called by learn.py (sums) and by whoever shows them. Decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from headrace.release.pairs import milliseconds
from headrace.release.profile import merged, psi
from headrace.types.pair import PairTally


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFigures:
    """Rates are of the pairs in which both answered; None before there was one."""

    pairs: int
    flip_rate: float | None
    deviating_rate: float | None
    unequal_rate: float | None
    overlap: float | None
    candidate_errors: int
    refused: int
    lost: int
    dropped: int
    psi: float | None
    baseline_p50_ms: float | None
    candidate_p50_ms: float | None
    baseline_p99_ms: float | None
    candidate_p99_ms: float | None


def summed(had: PairTally, more: PairTally) -> PairTally:
    return replace(
        more,
        pairs=had.pairs + more.pairs,
        flips=had.flips + more.flips,
        deviating=had.deviating + more.deviating,
        unequal=had.unequal + more.unequal,
        overlap=had.overlap + more.overlap,
        candidate_errors=had.candidate_errors + more.candidate_errors,
        refused=had.refused + more.refused,
        tested=had.tested + more.tested,
        differing=had.differing + more.differing,
        lost=had.lost + more.lost,
        dropped=had.dropped + more.dropped,
        baseline_ms=_counts(had.baseline_ms, more.baseline_ms),
        candidate_ms=_counts(had.candidate_ms, more.candidate_ms),
        profile=merged(had.profile, more.profile),
    )


def figures(tally: PairTally) -> PairFigures:
    def rate(count: float) -> float | None:
        return count / tally.pairs if tally.pairs else None

    return PairFigures(
        pairs=tally.pairs,
        flip_rate=rate(tally.flips),
        deviating_rate=rate(tally.deviating),
        unequal_rate=rate(tally.unequal),
        overlap=rate(tally.overlap),
        candidate_errors=tally.candidate_errors,
        refused=tally.refused,
        lost=tally.lost,
        dropped=tally.dropped,
        psi=psi(tally.profile),
        baseline_p50_ms=quantile(tally.baseline_ms, 0.5),
        candidate_p50_ms=quantile(tally.candidate_ms, 0.5),
        baseline_p99_ms=quantile(tally.baseline_ms, 0.99),
        candidate_p99_ms=quantile(tally.candidate_ms, 0.99),
    )


def quantile(bins: dict[int, int], q: float) -> float | None:
    """The middle of the bin that holds it; None when nothing was counted."""
    left = q * sum(bins.values())
    for number in sorted(bins):
        left -= bins[number]
        if left <= 0:
            return milliseconds(number)
    return None


def _counts(had: dict[int, int], more: dict[int, int]) -> dict[int, int]:
    return {number: had.get(number, 0) + more.get(number, 0) for number in sorted({*had, *more})}
