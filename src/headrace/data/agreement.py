"""How far people agree, and how sure that is. Pure; called by the review page, the rules, and reports of judges.

Cohen's kappa takes from the agreement what chance would give, given how often each says what. Where one label is
frequent it falls although nobody errs more: a rater who is right in 90 % of all cases has a kappa of 0.80 when labels
are balanced, of 0.30 at 97 to 3. So kappa is never shown alone: Gwet's AC1 (2008) does not fall so, and the plain
share, the share of the most frequent label and an interval stand beside. `warning` says when kappa misleads.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Z = 1.959963984540054
DRAWS = 500  # of the bootstrap
ENOUGH = 100  # cases below which no gate should look at it
SKEWED = 0.8  # share of the most frequent label from which kappa misleads


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Between two raters. Intervals are 95 %; None where nothing can be said."""

    cases: int
    share: float | None = None
    share_interval: tuple[float, float] | None = None
    kappa: float | None = None
    kappa_interval: tuple[float, float] | None = None
    ac1: float | None = None
    ac1_interval: tuple[float, float] | None = None
    prevalence: float = 0.0  # share of the most frequent label
    warning: str = ""  # few, skewed: kappa alone would mislead; empty: it does not


def agree(pairs: Sequence[tuple[Hashable, Hashable]], *, seed: int = 0) -> Agreement:
    """`pairs`: what the one said and what the other said of the same case."""
    n = len(pairs)
    if not n:
        return Agreement(cases=0, warning="few")
    labels = sorted({label for pair in pairs for label in pair}, key=repr)
    place = {label: number for number, label in enumerate(labels)}
    coded = np.array([(place[a], place[b]) for a, b in pairs])
    share, kappa, ac1 = _measures(coded, len(labels))
    # Resampled cases: the formulas for the variance of kappa fail where it matters, near 0 and 1 and with few cases.
    generator = np.random.default_rng(seed)
    drawn = np.array([_measures(coded[generator.integers(0, n, n)], len(labels)) for _ in range(DRAWS)])
    prevalence = float(np.bincount(coded.ravel(), minlength=len(labels)).max() / (2 * n))
    return Agreement(
        cases=n,
        share=share,
        share_interval=wilson(round(share * n), n),
        kappa=None if math.isnan(kappa) else kappa,
        kappa_interval=_interval(drawn[:, 1]),
        ac1=None if math.isnan(ac1) else ac1,
        ac1_interval=_interval(drawn[:, 2]),
        prevalence=prevalence,
        warning="few" if n < ENOUGH else "skewed" if prevalence >= SKEWED else "",
    )


def pairwise(said: Mapping[str, Mapping[str, Hashable]]) -> dict[tuple[str, str], Agreement]:
    """`said`: rater → case → label. Every two raters who have cases in common."""
    raters = sorted(said)
    found = {}
    for n, one in enumerate(raters):
        for other in raters[n + 1 :]:
            both = sorted(said[one].keys() & said[other].keys())
            if both:
                found[one, other] = agree([(said[one][case], said[other][case]) for case in both])
    return found


def consensus(labels: Sequence[Hashable]) -> Hashable | None:
    """What more than half say; None otherwise."""
    counts = Counter(labels).most_common(1)
    return counts[0][0] if counts and counts[0][1] * 2 > len(labels) else None


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if not n:
        return 0.0, 1.0
    p, z2 = hits / n, Z * Z
    middle, width = p + z2 / (2 * n), Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, (middle - width) / (1 + z2 / n)), min(1.0, (middle + width) / (1 + z2 / n))


def _measures(coded: np.ndarray[tuple[int, int], np.dtype[np.int64]], kinds: int) -> tuple[float, float, float]:
    """Share, kappa, AC1. Kappa is not a number when both say one and the same thing throughout."""
    n = len(coded)
    first = np.bincount(coded[:, 0], minlength=kinds) / n
    second = np.bincount(coded[:, 1], minlength=kinds) / n
    share = float((coded[:, 0] == coded[:, 1]).mean())
    chance = float((first * second).sum())
    kappa = (share - chance) / (1 - chance) if chance < 1 else math.nan
    if kinds < 2:
        return share, kappa, math.nan
    either = (first + second) / 2
    luck = float((either * (1 - either)).sum() / (kinds - 1))
    return share, kappa, (share - luck) / (1 - luck)


def _interval(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float] | None:
    known = values[~np.isnan(values)]
    if len(known) < DRAWS // 2:
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)
