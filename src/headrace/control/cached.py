"""How often the cache of each chat endpoint answered, and how often wrongly, as far as checks can tell. Pure.

Called by the admin API with what the data planes' metrics say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.base.proportion import wilson

_HITS, _CHECKS = "headrace_cache_hits_total", "headrace_cache_checks_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """Since the data planes started. `rate`: share of semantic hits that answer something else, with its bounds of
    95 %; None while nothing was checked."""

    endpoint: str
    exact: int
    semantic: int
    checked: int
    false: int
    failed: int  # checks that said nothing
    rate: float | None
    low: float
    high: float


def used(metrics: Iterable[Mapping[str, Any]]) -> list[CacheUse]:
    """By endpoint."""
    counts: dict[str, dict[str, int]] = {}
    for metric in metrics:
        labels = metric["labels"]
        if metric["name"] in (_HITS, _CHECKS):
            kind = labels["kind" if metric["name"] == _HITS else "outcome"]
            counts.setdefault(labels["endpoint"], {})[kind] = int(metric["value"])
    return [_use(endpoint, found) for endpoint, found in sorted(counts.items())]


def _use(endpoint: str, found: Mapping[str, int]) -> CacheUse:
    false = found.get("different", 0)
    checked = false + found.get("same", 0)
    rate, low, high = wilson(false, checked)
    return CacheUse(
        endpoint=endpoint,
        exact=found.get("exact", 0),
        semantic=found.get("semantic", 0),
        checked=checked,
        false=false,
        failed=found.get("failed", 0),
        rate=rate if checked else None,
        low=low,
        high=high,
    )
