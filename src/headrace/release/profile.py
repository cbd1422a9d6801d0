"""How the answers of two variants are spread, as counts in bins, and how far apart these are. Pure; for eyes alone.

Called by pairs.py (counts) and whoever shows them. Decides the bins, once, from the baseline's first answers. That a
population stability index of 0.1 or 0.25 means something is a habit without a theory: nothing is decided by it here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from math import log

from headrace.types.pair import Profile

FIRST = 200  # answers of the baseline that fix the bins
BINS = 10
_FEW = 0.5  # of an answer, for a bin that has none: a logarithm needs something


def bins_of(values: Sequence[float | str]) -> Profile:
    """Empty ones: deciles of numbers, or the most frequent labels and one bin for the rest."""
    if all(isinstance(value, int | float) for value in values):
        ordered = sorted(float(value) for value in values)
        cuts = {ordered[min(len(ordered) - 1, len(ordered) * number // BINS)] for number in range(1, BINS)}
        edges = tuple(sorted(cuts))
        return Profile(edges=edges, baseline=(0,) * (len(edges) + 1), candidate=(0,) * (len(edges) + 1))
    common = Counter(str(value) for value in values).most_common(BINS - 1)
    labels = tuple(sorted(label for label, _ in common))
    return Profile(labels=labels, baseline=(0,) * (len(labels) + 1), candidate=(0,) * (len(labels) + 1))


def bin_of(profile: Profile, value: float | str) -> int:
    if profile.labels:
        text = str(value)
        return profile.labels.index(text) if text in profile.labels else len(profile.labels)
    return bisect_right(profile.edges, float(value)) if isinstance(value, int | float) else len(profile.edges)


def counted(profile: Profile, baseline: Sequence[float | str], candidate: Sequence[float | str]) -> Profile:
    """The bins of `profile`, with these answers alone in them."""
    return Profile(
        edges=profile.edges,
        labels=profile.labels,
        baseline=_counts(profile, baseline),
        candidate=_counts(profile, candidate),
    )


def merged(had: Profile, more: Profile) -> Profile:
    """Sums, where the bins are the same; the later ones where they are not."""
    if not more.baseline:
        return had
    if (had.edges, had.labels) != (more.edges, more.labels) or not had.baseline:
        return more
    return Profile(
        edges=had.edges,
        labels=had.labels,
        baseline=tuple(a + b for a, b in zip(had.baseline, more.baseline, strict=True)),
        candidate=tuple(a + b for a, b in zip(had.candidate, more.candidate, strict=True)),
    )


def psi(profile: Profile) -> float | None:
    """Population stability index; None before anything was counted."""
    before, after = sum(profile.baseline), sum(profile.candidate)
    if not before or not after:
        return None
    total = 0.0
    for a, b in zip(profile.baseline, profile.candidate, strict=True):
        p, q = max(a, _FEW) / before, max(b, _FEW) / after
        total += (q - p) * log(q / p)
    return total


def _counts(profile: Profile, values: Sequence[float | str]) -> tuple[int, ...]:
    found = Counter(bin_of(profile, value) for value in values)
    return tuple(found[number] for number in range(len(profile.labels or profile.edges) + 1))
