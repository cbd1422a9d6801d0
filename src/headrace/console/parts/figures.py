"""Live figures as pages use them: sums over the recent past, and lines by variant. Reads services.live.

Called by the loaders of the overview and endpoint pages, in a thread. Decides the colour of a variant: by its role.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from headrace.console.parts.chart import Line, Marker
from headrace.console.parts.numbers import share
from headrace.console.sentences import RECENT, Traffic
from headrace.types.release import Release
from headrace.types.traffic import TrafficPolicy

if TYPE_CHECKING:
    from headrace.control.services import Services
    from headrace.monitor.live import Figures, Series

RATE_SECONDS = 10.0
SPAN = 5  # seconds of a point on a chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    time: float  # its end
    calls: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The three charts of an endpoint."""

    rate: tuple[Line, ...] = ()
    errors: tuple[Line, ...] = ()
    latency: tuple[Line, ...] = ()


def traffic_of(services: Services, endpoint: str) -> Traffic:
    recent = services.live.totals(endpoint, RECENT)
    now = services.live.totals(endpoint, RATE_SECONDS)
    variants = {name: _traffic(figures, now.variants.get(name)) for name, figures in recent.variants.items()}
    return replace(_traffic(recent, now), variants=variants)


def _traffic(recent: Figures, now: Figures | None) -> Traffic:
    rate = now.rate if now else 0.0
    return Traffic(calls=recent.calls, errors=recent.errors, rate=rate, p50_ms=recent.p50_ms, p99_ms=recent.p99_ms)


def sum_of(traffics: Sequence[Traffic]) -> Traffic:
    """All endpoints together; the quantiles are those of the slowest, because quantiles do not add up."""
    busy = [t for t in traffics if t.calls]
    return Traffic(
        calls=sum(t.calls for t in busy),
        errors=sum(t.errors for t in busy),
        rate=sum(t.rate for t in traffics),
        p50_ms=max((t.p50_ms for t in busy if t.p50_ms is not None), default=None),
        p99_ms=max((t.p99_ms for t in busy if t.p99_ms is not None), default=None),
    )


def lines_of(
    services: Services, endpoint: str, policy: TrafficPolicy, *, releases: Sequence[Release], seconds: float
) -> Lines:
    """By variant, over the last `seconds`, in spans of SPAN seconds that stand still while time moves on."""
    rate, errors, latency = [], [], []
    for variant, series in sorted(services.live.endpoint(endpoint, seconds=int(seconds)).items()):
        role = role_of(policy, variant, releases)
        token = "unknown" if role == "none" else role
        spans = spans_of(series)
        rate.append(Line(name=variant, token=token, points=[(s.time, s.calls / SPAN) for s in spans], area=True))
        errors.append(Line(name=variant, token=token, points=[(s.time, s.errors / SPAN) for s in spans], area=True))
        p99, p50 = [(s.time, s.p99_ms) for s in spans], [(s.time, s.p50_ms) for s in spans]
        latency.append(Line(name=f"{variant} p99", token=token, legend=variant, points=p99))
        latency.append(Line(name=f"{variant} p50", token=token, legend=variant, points=p50, dash="dashed"))
    return Lines(rate=tuple(rate), errors=tuple(errors), latency=tuple(latency))


def spans_of(series: Series) -> list[Span]:
    """Seconds gathered into spans; a span that has not ended is left out, one without answers has no latency.

    p50 is the mean of the seconds' medians weighted by their calls; p99 is the worst second's, so that nothing bad is
    averaged away.
    """
    spans = []
    rows = zip(series.time, series.calls, series.errors, series.p50_ms, series.p99_ms, strict=True)
    for start, group in groupby(rows, key=lambda row: row[0] // SPAN * SPAN):
        members = list(group)
        if len(members) < SPAN:
            continue
        answered = [(calls, p50) for _, calls, _, p50, _ in members if p50 is not None]
        weight = sum(calls for calls, _ in answered)
        spans.append(
            Span(
                time=start + SPAN,
                calls=sum(calls for _, calls, _, _, _ in members),
                errors=sum(errors for _, _, errors, _, _ in members),
                p50_ms=sum(calls * p50 for calls, p50 in answered) / weight if weight else None,
                p99_ms=max((p99 for *_, p99 in members if p99 is not None), default=None),
            )
        )
    return spans


def total_lines(
    services: Services, endpoints: Sequence[str], *, seconds: float, names: tuple[str, str]
) -> tuple[Line, Line]:
    """Calls and errors a second of all endpoints together; `names` are what the two lines are called."""
    calls: dict[float, float] = {}
    errors: dict[float, float] = {}
    for endpoint in endpoints:
        for series in services.live.endpoint(endpoint, seconds=int(seconds)).values():
            for span in spans_of(series):
                calls[span.time] = calls.get(span.time, 0.0) + span.calls / SPAN
                errors[span.time] = errors.get(span.time, 0.0) + span.errors / SPAN
    return (
        Line(name=names[0], token="brand", points=sorted(calls.items()), area=True),  # noqa: S106 - a colour
        Line(name=names[1], token="bad", points=sorted(errors.items()), area=True),  # noqa: S106 - a colour
    )


def role_of(policy: TrafficPolicy, variant: str, releases: Sequence[Release] = ()) -> str:
    """Its role now; on charts, which show the past, the latest release's candidate stays one."""
    if variant == policy.baseline:
        return "baseline"
    latest = releases[0].candidate if releases else ""
    return "candidate" if variant in (policy.candidate, latest) else "none"


ENDS = {"promoted": ("good", " ✓"), "rolled_back": ("bad", " ✕"), "failed": ("bad", " ✕"), "aborted": ("unknown", " ✕")}


def markers_of(releases: Sequence[Release], since: float, *, named: bool = False) -> list[Marker]:
    """Release steps and ends since then, to be drawn on every chart over time; `named` says which endpoint's."""
    markers = []
    for release in releases:
        prefix = f"{release.endpoint} " if named else ""
        for event in release.history:
            if event.time < since:
                continue
            if event.name in ENDS:
                token, sign = ENDS[event.name]
                markers.append(Marker(time=event.time, label=f"{prefix}{release.candidate}{sign}", token=token))
            elif event.name in ("started", "step") and event.share:
                markers.append(Marker(time=event.time, label=f"{prefix}{share(event.share)}"))
    return markers
