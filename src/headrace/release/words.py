"""A verdict in plain sentences, with its numbers. Pure.

Called by advance.py. People read these in the console, on the command line and in the audit; the numbers are
the evidence's.
"""

from __future__ import annotations

from math import ceil, exp, log10

from headrace.release import evalue
from headrace.types.release import Interval, MetricEvidence, MetricKind, MetricSpec, Release
from headrace.types.traffic import BUCKETS


def share(buckets: int) -> str:
    """1 %, 0.5 %"""
    return f"{buckets * 100 / BUCKETS:g} %"


def number(log_e: float) -> str:
    """An e-value from its logarithm: 1,240 or 3·10^12."""
    power = log_e / 2.302585092994046
    if power >= 7:
        return f"{10 ** (power % 1):.1f}·10^{int(power)}"
    value = exp(log_e)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def harmed(release: Release, spec: MetricSpec, evidence: MetricEvidence) -> str:
    limit = evalue.roll_back_at(spec, release.plan)
    return (
        f"{_counts(release, spec, evidence)}; the e-value against {release.candidate} is "
        f"{number(evalue.harm(evidence))}, {number(limit)} is enough to roll back"
    )


def refused(release: Release, reason: str) -> str:
    return f"a data plane cannot run {release.candidate}: {reason}"


def failing(release: Release, in_row: int) -> str:
    return f"the last {in_row} calls of {release.candidate} failed, one after the other"


def waiting(release: Release, interval: Interval, now: float) -> str:
    """Before a step may end: what is still missing."""
    step = release.plan.steps[release.step]
    missing = []
    if interval.candidate_units < step.min_units:
        missing.append(f"{interval.candidate_units} users so far, {step.min_units} needed")
    left = step.min_seconds - (now - release.step_started)
    if left > 0:
        missing.append(f"{left:.0f} s of at least {step.min_seconds:g} s left")
    return f"at {share(step.share)}: {' and '.join(missing)}"


def unproven(release: Release, spec: MetricSpec, evidence: MetricEvidence) -> str:
    """Before full traffic: how far the proof is, and how many more users it needs at this pace."""
    have, need = max(evalue.not_worse(evidence), evalue.tolerable(evidence)), evalue.proven_at(release.plan)
    users = evidence.candidate_units
    text = f"{_counts(release, spec, evidence)}; the e-value for 'not worse' is {number(have)} of {number(need)}"
    if have > 0.1 and users:
        return f"{text}; {users:,} users so far, about {ceil(users * need / have):,} needed at this pace"
    return f"{text}; {users:,} users so far, too few to say how many are needed"


def advanced(release: Release, interval: Interval) -> str:
    step = release.plan.steps[release.step]
    return f"no sign of harm at {share(step.share)} with {interval.candidate_units:,} users of {release.candidate}"


def proven(release: Release) -> str:
    """Why the candidate may have everything."""
    parts = [
        _counts(release, spec, found)
        for spec in release.plan.metrics
        if spec.required and (found := (release.evidence or {}).get(spec.name)) and found.candidate_units
    ]
    return f"{release.candidate} is proven not worse than {release.baseline}: {'; '.join(parts)}"


def undecided(release: Release, why: str) -> str:
    step = release.plan.steps[release.step]
    return f"after {step.max_seconds:g} s at {share(step.share)} neither harm nor its absence is proven: {why}"


_EVENTS = {
    MetricKind.ERRORS: "users had a failed call",
    MetricKind.SLOW: "users had a slow answer",
    MetricKind.FEEDBACK: "users were unhappy",
}


def _counts(release: Release, spec: MetricSpec, evidence: MetricEvidence) -> str:
    what = _EVENTS[spec.kind]
    if spec.kind is MetricKind.SLOW:
        what += f" (over {_milliseconds(evidence.cut_ms)}, {spec.name})"
    return (
        f"{evidence.candidate_events:,} of {evidence.candidate_units:,} {what} with {release.candidate}, "
        f"{evidence.baseline_events:,} of {evidence.baseline_units:,} with {release.baseline}"
    )


def _milliseconds(value: float) -> str:
    digits = max(0, 1 - int(log10(value))) if value > 0 else 0
    return f"{value:.{digits}f} ms"
