"""The results of a release as sentences that one may quote, and as places on a scale to draw. Pure.

Called by the results panel. The numbers and when they hold are release/results.py's; this decides how they are written:
rates in per cent and their differences in points, means in their own unit, and never an interval without saying whether
it holds at one look or at any.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from headrace.console.parts import numbers
from headrace.console.visit import Visit
from headrace.release.novelty import Course, Effect
from headrace.release.results import MetricResult, Results
from headrace.types.release import Release
from headrace.types.score import Reading
from headrace.types.strategy import Direction, MetricKind, Role, StepKind

TONES = {"better": "good", "worse": "bad", "unclear": "", "unknown": ""}
PADDING = 0.08  # of the scale, on either side
POSTED = (MetricKind.RATE, MetricKind.VALUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where things are between the left end, 0, and the right one, 100; None: not on it."""

    zero: float
    difference: float
    fixed: tuple[float, float] | None
    always: tuple[float, float] | None
    low: str
    high: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    name: str
    finding: str  # better, worse, unclear, unknown
    arms: tuple[str, str]
    units: tuple[str, str]
    difference: str
    fixed: str
    always: str
    sentence: str
    novelty: str
    scale: Scale | None


def has_results(release: Release) -> bool:
    """Whether there is something to compare beyond harm: an A/B test, or what applications posted."""
    tested = any(step.kind is StepKind.HORIZON for step in release.plan.steps)
    return tested or any(metric.kind in POSTED for metric in release.plan.metrics)


def quotes(visit: Visit, release: Release, found: Results) -> list[Quote]:
    """What is meant to get better first. What has no interval (a ramp's events) is left to the table of counts."""
    compared = [m for m in found.metrics if m.always is not None or m.fixed is not None]
    compared.sort(key=lambda m: m.spec.role is not Role.SUCCESS)
    return [quote(visit, release, m) for m in compared]


def quote(visit: Visit, release: Release, found: MetricResult) -> Quote:
    reading = found.fixed or found.always
    rates = found.spec.kind is not MetricKind.VALUE
    difference = _amount(visit, reading.difference, rates=rates) if reading else numbers.NOTHING
    return Quote(
        name=found.spec.name.replace("_", " "),
        finding=finding(found),
        arms=(_level(found.baseline, rates=rates), _level(found.candidate, rates=rates)),
        units=(numbers.count(found.baseline_units), numbers.count(found.candidate_units)),
        difference=difference,
        fixed=_interval(visit, found.fixed, rates=rates),
        always=_interval(visit, found.always, rates=rates),
        sentence=_sentence(visit, release, found, rates=rates),
        novelty=_novelty(visit, found, rates=rates),
        scale=scale(visit, found, rates=rates),
    )


def finding(found: MetricResult) -> str:
    """By the interval that may be quoted now."""
    reading = found.fixed or found.always
    if reading is None or not _known(reading):
        return "unknown"
    if reading.low <= 0 <= reading.high:
        return "unclear"
    return "better" if (reading.low > 0) == (found.spec.direction is Direction.HIGHER) else "worse"


def when_to_quote(visit: Visit, release: Release, found: Results) -> str:
    """Which interval may be quoted, before anybody does."""
    step = next((s for s in release.plan.steps if s.kind is StepKind.HORIZON), None)
    if step is None:
        return visit.say("quote.no_horizon")
    need = visit.count("users", step.min_units)
    if found.at_horizon:
        return visit.say("quote.at_horizon", need=need)
    if release.phase.ended:
        return visit.say("quote.never", need=need)
    return visit.say("quote.before", need=need)


def split_said(visit: Visit, release: Release, found: Results) -> str:
    """Whether users came in the share that was asked for; empty while there is no share to speak of."""
    if not release.exposed:
        return ""
    (baseline, candidate), share = release.exposed[-1], release.plan.steps[len(release.exposed) - 1].share
    if not 0 < share < 10_000 or not baseline + candidate:
        return ""
    said = {
        "baseline": release.baseline,
        "candidate": release.candidate,
        "on_baseline": visit.count("users", baseline),
        "on_candidate": visit.count("users", candidate),
        "part": numbers.percent(candidate, baseline + candidate),
        "share": numbers.share(share),
        "factor": numbers.evidence(found.split.log_bayes_factor),
    }
    return visit.say("quote.split_alarm" if found.split.alarm else "quote.split", **said)


def scale(visit: Visit, found: MetricResult, *, rates: bool) -> Scale | None:
    """None when nothing finite is known yet."""
    readings = [r for r in (found.fixed, found.always) if r is not None and _known(r)]
    if not readings:
        return None
    low, high = min([0.0, *(r.low for r in readings)]), max([0.0, *(r.high for r in readings)])
    room = (high - low or 1.0) * PADDING
    low, high = low - room, high + room

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    def bar(reading: Reading | None) -> tuple[float, float] | None:
        return (place(reading.low), place(reading.high)) if reading is not None and _known(reading) else None

    return Scale(
        zero=place(0.0),
        difference=place(readings[0].difference),
        fixed=bar(found.fixed),
        always=bar(found.always),
        low=_amount(visit, low, rates=rates),
        high=_amount(visit, high, rates=rates),
    )


def _sentence(visit: Visit, release: Release, found: MetricResult, *, rates: bool) -> str:
    reading = found.fixed or found.always
    said = {
        "metric": found.spec.name.replace("_", " "),
        "baseline": release.baseline,
        "candidate": release.candidate,
        "of_baseline": _level(found.baseline, rates=rates),
        "of_candidate": _level(found.candidate, rates=rates),
        "on_baseline": visit.count("users", found.baseline_units),
        "on_candidate": visit.count("users", found.candidate_units),
        "level": f"{100 * (1 - release.plan.alpha):.3g} %",
    }
    if reading is None or not _known(reading):
        return visit.say("quote.too_few", **said)
    said["difference"] = _amount(visit, reading.difference, rates=rates)
    levels = visit.say("quote.levels", **said)
    intervals = []
    if found.fixed is not None and _known(found.fixed):
        intervals.append(visit.say("quote.fixed", interval=_interval(visit, found.fixed, rates=rates), **said))
    if found.always is not None and _known(found.always):
        key = "quote.always_asymptotic" if found.always.asymptotic else "quote.always"
        intervals.append(visit.say(key, interval=_interval(visit, found.always, rates=rates), **said))
    return visit.say("quote.whole", levels=levels, intervals=visit.say("quote.joint").join(intervals))


def _novelty(visit: Visit, found: MetricResult, *, rates: bool) -> str:
    course = found.novelty.course
    nothing = found.novelty.early.difference == found.novelty.late.difference == 0
    if course is Course.UNKNOWN or nothing:
        return ""

    def told(effect: Effect) -> str:
        return _amount(visit, effect.difference, rates=rates)

    return visit.name("course", course, early=told(found.novelty.early), late=told(found.novelty.late))


def _known(reading: Reading) -> bool:
    return isfinite(reading.low) and isfinite(reading.high)


def _interval(visit: Visit, reading: Reading | None, *, rates: bool) -> str:
    if reading is None or not _known(reading):
        return numbers.NOTHING
    low, high = _number(reading.low, rates=rates), _amount(visit, reading.high, rates=rates)
    return visit.say("quote.interval", low=low, high=high)


def _amount(visit: Visit, value: float, *, rates: bool) -> str:
    """A difference, with its sign and unit."""
    return visit.say("quote.points", value=_number(value, rates=True)) if rates else _number(value, rates=False)


def _number(value: float, *, rates: bool) -> str:
    text = f"{100 * value:+.2f}" if rates else f"{value:+.3g}"
    return text.replace("-", "−")


def _level(value: float | None, *, rates: bool) -> str:
    if value is None:
        return numbers.NOTHING
    return f"{100 * value:.2f} %" if rates else f"{value:.4g}"
