"""How much better a candidate is than the baseline on the same rows, and how sure that is. Pure; called by `compare`.

Each row is answered by both, so the difference is that of pairs, which is far narrower than that of two groups:

    right or wrong    Newcombe, "Improved confidence intervals for the difference between binomial proportions based on
                      paired data", Statistics in Medicine 17 (1998), method 10: of use also with no discordant row
    distances         the percentile bootstrap of the mean of differences (Efron, 1979), 2,000 draws from a fixed seed
    p                 McNemar's test, exact: among rows where they differ, the candidate wins with probability 1/2

These hold for one look that was planned. looks.py is for looking again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma, log, sqrt
from statistics import NormalDist

import numpy as np

from headrace.data.estimate import weighted
from headrace.flywheel.looks import evidence
from headrace.types.turn import Gain, Metric

DRAWS = 2_000
_AWAY = 10.0  # differences are not taken for shares, which have an interval of their own
_CHUNK = 1 << 22  # numbers drawn at once: memory stays small for any number of rows


def compare(on: str, metric: Metric, baseline: Sequence[float], candidate: Sequence[float], alpha: float) -> Gain:
    """What each row's answer costs, in the same order. Less is better."""
    before, after = np.asarray(baseline, dtype=float), np.asarray(candidate, dtype=float)
    if before.shape != after.shape:
        raise ValueError(f"{len(before)} rows of the baseline, {len(after)} of the candidate")
    if not len(before):
        return Gain(on=on, metric=metric, rows=0, baseline=0.0, candidate=0.0, difference=0.0, low=-1.0, high=1.0)
    better, worse = int((after < before).sum()), int((after > before).sum())
    if metric is Metric.EXACT:
        low, high = newcombe(int((before + after == 2).sum()), worse, better, len(before), alpha)
    else:
        low, high = bootstrap(after - before, alpha)
    return Gain(
        on=on,
        metric=metric,
        rows=len(before),
        baseline=float(before.mean()),
        candidate=float(after.mean()),
        difference=float(after.mean() - before.mean()),
        low=low,
        high=high,
        better=better,
        worse=worse,
        p=mcnemar(better, worse),
        evidence=evidence(better, worse),
    )


def weigh(
    on: str, metric: Metric, baseline: Sequence[float], candidate: Sequence[float], chances: Sequence[float]
) -> Gain:
    """Of rows that were drawn for review, each with its chance: what the difference is on all answers. As many rows as
    say nothing for one side leave three in that many open there."""
    differences = [after - before for before, after in zip(baseline, candidate, strict=True)]
    moved = [each + _AWAY for each in differences]
    before, after, found = (weighted(values, chances) for values in (baseline, candidate, moved))
    if before is None or after is None or found is None:
        return compare(on, metric, [], [], 0.05)
    difference, spread = found.mean - _AWAY, found.high - found.mean
    slack = 3 / found.effective if metric is Metric.EXACT else 0.0
    better, worse = sum(each < 0 for each in differences), sum(each > 0 for each in differences)
    return Gain(
        on=on,
        metric=metric,
        rows=len(differences),
        baseline=before.mean,
        candidate=after.mean,
        difference=difference,
        low=difference - max(spread, 0.0 if better else slack),
        high=difference + max(spread, 0.0 if worse else slack),
        better=better,
        worse=worse,
    )


def newcombe(both: int, worse: int, better: int, rows: int, alpha: float) -> tuple[float, float]:
    """The interval of (candidate's error rate - baseline's). `both`: wrong in both; `worse`: in the candidate alone."""
    c, c_low, c_high = wilson(both + worse, rows, alpha)
    b, b_low, b_high = wilson(both + better, rows, alpha)
    neither = rows - both - worse - better
    phi = _correlation(both, worse, better, neither)
    below = (c - c_low) ** 2 - 2 * phi * (c - c_low) * (b_high - b) + (b_high - b) ** 2
    above = (c_high - c) ** 2 - 2 * phi * (c_high - c) * (b - b_low) + (b - b_low) ** 2
    return c - b - sqrt(max(0.0, below)), c - b + sqrt(max(0.0, above))


def wilson(events: int, rows: int, alpha: float) -> tuple[float, float, float]:
    """Rate, and its score interval (Wilson, 1927)."""
    rate, z = events / rows, NormalDist().inv_cdf(1 - alpha / 2)
    middle = (rate + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * sqrt(rate * (1 - rate) / rows + (z / (2 * rows)) ** 2) / (1 + z * z / rows)
    return rate, max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(better: int, worse: int) -> float:
    """Two-sided: how rarely chance alone splits the rows that differ so unevenly, or more so."""
    differ = better + worse
    if not differ:
        return 1.0
    logs = [lgamma(differ + 1) - lgamma(k + 1) - lgamma(differ - k + 1) for k in range(min(better, worse) + 1)]
    return min(1.0, 2 * sum(exp(each - differ * log(2)) for each in logs))


def bootstrap(differences: np.ndarray, alpha: float, *, seed: int = 20_261_121) -> tuple[float, float]:
    rows = len(differences)
    generator = np.random.default_rng(seed)
    at_once = max(1, _CHUNK // rows)
    means = np.concatenate(
        [
            differences[generator.integers(0, rows, size=(min(at_once, DRAWS - start), rows))].mean(axis=1)
            for start in range(0, DRAWS, at_once)
        ]
    )
    low, high = np.quantile(means, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def _correlation(both: int, worse: int, better: int, neither: int) -> float:
    """Of the two errors, with Newcombe's correction for continuity, which keeps it from claiming too much."""
    product = (both + worse) * (better + neither) * (both + better) * (worse + neither)
    if not product:
        return 0.0
    cross, half = both * neither - worse * better, (both + worse + better + neither) / 2
    corrected = max(cross - half, 0.0) if cross > 0 else float(cross)
    return corrected / sqrt(product)
