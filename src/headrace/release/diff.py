"""What the candidate would have answered otherwise, for somebody who looks: the figures, the worst pairs, by segment.

Called by the admin API and the console. Reads what the engine has stored; decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.release.segments import Segment, columns, segments, within
from headrace.release.sums import PairFigures, figures
from headrace.store import pairs, releases
from headrace.store.db import Connection
from headrace.types.errors import BadInput, NotFound
from headrace.types.pair import Pair, PairTally, Profile
from headrace.types.release import Release
from headrace.types.strategy import MetricKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """`tolerance`: the share of differing answers that the plan takes. `sampled`: pairs that segments are made of."""

    release: str
    endpoint: str
    baseline: str
    candidate: str
    tolerance: float | None
    figures: PairFigures
    profile: Profile
    columns: tuple[str, ...]
    by: str
    value: str
    sampled: int
    segments: tuple[Segment, ...]
    pairs: tuple[Pair, ...]  # the worst first


def look(conn: Connection, release_id: str, *, by: str = "", value: str = "", limit: int = 50) -> Diff:
    """`by` a column or attribute; `value` one of its buckets. Raises NotFound, BadInput."""
    release = releases.get(conn, release_id)
    if release is None:
        raise NotFound(f"there is no release {release_id!r}", field="release", hint="headrace release list")
    sample = pairs.sample(conn, release_id)
    worst = pairs.worst(conn, release_id, limit=pairs.WORST)
    known = columns((*sample, *worst))
    if by and by not in known:
        there = ", ".join(known) or "none: inputs without named columns, and no attribute was kept"
        raise BadInput(f"pairs have no column {by!r}; there are: {there}", field="by")
    found = segments(sample, by) if by else ()
    if by and value:
        worst = within(worst, sample, by, value)
    return Diff(
        release=release.id,
        endpoint=release.endpoint,
        baseline=release.baseline,
        candidate=release.candidate,
        tolerance=_tolerance(release),
        figures=figures(release.pairs or PairTally()),
        profile=(release.pairs or PairTally()).profile,
        columns=known,
        by=by,
        value=value if by else "",
        sampled=len(sample),
        segments=found,
        pairs=worst[:limit],
    )


def _tolerance(release: Release) -> float | None:
    return next((m.tolerance for m in release.plan.metrics if m.kind is MetricKind.FLIPS), None)
