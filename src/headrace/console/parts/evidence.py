"""The evidence of a release, as it is drawn and tabled. Pure; called by the release page.

Decides how it is drawn: a metric past its line in the colour of bad, the others as undecided. Where the line is, 1/α of
the metric's part of α, and what an e-value is, release/evalue.py says; metrics of one weight share a line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.console.parts import numbers
from headrace.console.parts.chart import Line, Point
from headrace.console.visit import Visit
from headrace.release import evalue
from headrace.types.release import MetricEvidence, Release
from headrace.types.score import Arm
from headrace.types.strategy import MetricKind, MetricSpec, Role

if TYPE_CHECKING:
    from headrace.store.releases import StoredInterval

DRAWN = 240  # points of a line; more are thinned, the highest of each group is kept
DASHES: tuple[str | tuple[int, ...], ...] = ("solid", "dashed", "dotted", (8, 3, 2, 3), (2, 4), (12, 4))
LARGEST = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricView:
    """One row of the tallies. As natural logarithms: e-value of harm, where it rolls back; of proof, what is enough."""

    name: str
    title: str
    critical: bool
    required: bool
    success: bool
    dry_run: bool
    means: tuple[str, str] | None  # of baseline and candidate, where it is no rate
    baseline_units: int
    baseline_events: int
    candidate_units: int
    candidate_events: int
    log_evalue: float
    log_line: float
    log_proof: float
    log_proven: float


def evidence_lines(visit: Visit, release: Release, intervals: Sequence[StoredInterval]) -> list[Line]:
    """What may not roll back says so in its name."""
    limits = roll_back_lines(release)
    lines = []
    for index, metric in enumerate(release.plan.metrics):
        points: list[Point] = [
            (stored.interval.end, min(math.exp(min(stored.evalues[metric.name], 14)), LARGEST))
            for stored in intervals
            if metric.name in stored.evalues
        ]
        limit = limits.get(metric.name, math.inf)
        beyond = any(value is not None and value >= limit for _, value in points)
        lines.append(
            Line(
                name=_line_name(visit, metric),
                token="bad" if beyond else "unknown",
                points=thin(points, DRAWN),
                dash=DASHES[index % len(DASHES)],
                named=True,
            )
        )
    return lines


def _line_name(visit: Visit, metric: MetricSpec) -> str:
    marks: list[str] = [metric.role] if metric.role is Role.SUCCESS else []
    marks += ["dry_run"] if metric.dry_run else []
    return " · ".join([short_name(metric), *(visit.name("metric_role", mark) for mark in marks)])


def roll_back_lines(release: Release) -> dict[str, float]:
    """The e-value at which each critical metric rolls back."""
    return {m.name: math.exp(evalue.roll_back_at(m, release.plan)) for m in release.plan.metrics if m.guards}


def thresholds(visit: Visit, release: Release) -> tuple[tuple[float, str], ...]:
    """The lines to draw: one for all metrics of one weight, which it names when there are several lines."""
    lines: dict[float, list[str]] = {}
    for metric in release.plan.metrics:
        if metric.guards:
            limit = math.exp(evalue.roll_back_at(metric, release.plan))
            lines.setdefault(round(limit, 6), []).append(short_name(metric))
    return tuple(
        (limit, visit.say("release.line", line=f"{limit:.3g}") + (f" · {', '.join(names)}" if len(lines) > 1 else ""))
        for limit, names in lines.items()
    )


def metric_views(visit: Visit, release: Release, intervals: Sequence[StoredInterval]) -> list[MetricView]:
    latest = intervals[-1].evalues if intervals else {}
    views = []
    for metric in release.plan.metrics:
        seen = (release.evidence or {}).get(metric.name, MetricEvidence())
        views.append(
            MetricView(
                name=short_name(metric),
                title=title_of(visit, metric),
                critical=metric.guards,
                required=metric.required and not metric.dry_run,
                success=metric.role is Role.SUCCESS,
                dry_run=metric.dry_run,
                means=_means(seen) if metric.kind is MetricKind.VALUE else None,
                baseline_units=seen.baseline_units,
                baseline_events=seen.baseline_events,
                candidate_units=seen.candidate_units,
                candidate_events=seen.candidate_events,
                log_evalue=latest.get(metric.name, 0.0),
                log_line=evalue.roll_back_at(metric, release.plan),
                log_proof=evalue.proof(seen),
                log_proven=evalue.proven_at(release.plan),
            )
        )
    return views


def _means(seen: MetricEvidence) -> tuple[str, str]:
    state = seen.bets or seen.normal
    arms = (state.baseline, state.candidate) if state else (Arm(), Arm())
    baseline, candidate = (f"{arm.mean:.4g}" if arm.units else numbers.NOTHING for arm in arms)
    return baseline, candidate


def short_name(metric: MetricSpec) -> str:
    """As the plan calls it; the picture and the table say the same."""
    return metric.name.replace("_", " ")


def title_of(visit: Visit, metric: MetricSpec) -> str:
    if metric.quantile:
        return visit.say("metric.slow_at", quantile=f"p{100 * metric.quantile:.3g}")
    return visit.name("metric", metric.kind)


def thin(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` points: the highest of each group, and always the last one."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / most)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [*(max(group, key=lambda point: point[1] or 0.0) for group in groups[:-1]), points[-1]]
