"""A verdict in plain sentences, with its numbers. Pure.

Called by advance.py. People read these in the console, on the command line and in the audit; the numbers are
the evidence's.
"""

from __future__ import annotations

from math import ceil, exp, log10

from headrace.release import evalue
from headrace.types.release import Interval, MetricEvidence, Release
from headrace.types.strategy import MetricKind, MetricSpec, Step, StepKind
from headrace.types.traffic import BUCKETS


def share(buckets: int) -> str:
    """1 %, 0.5 %"""
    return f"{buckets * 100 / BUCKETS:g} %"


_STEPS = {
    StepKind.SHADOW: "shadow of {mirror}",
    StepKind.PREVIEW: "preview",
    StepKind.APPROVAL: "approval at {share}",
    StepKind.SWITCH: "all users",
    StepKind.HORIZON: "A/B at {share}",
}


def step(found: Step) -> str:
    """1 %, or what it is when it is no share: shadow of 100 %."""
    return _STEPS.get(found.kind, "{share}").format(share=share(found.share), mirror=share(found.mirror))


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
    now_in, missing = release.current, []
    if interval.candidate_units < now_in.min_units and now_in.kind is not StepKind.PREVIEW:
        what = "answers compared" if now_in.kind is StepKind.SHADOW else "users"
        missing.append(f"{interval.candidate_units:,} {what} so far, {now_in.min_units:,} needed")
    left = now_in.min_seconds - (now - release.step_started)
    if left > 0:
        missing.append(f"{left:.0f} s of at least {now_in.min_seconds:g} s left")
    return f"{_at(release)}: {' and '.join(missing)}"


def before_horizon(release: Release, interval: Interval, now: float) -> str:
    baseline, candidate = interval.exposed
    left = max(0.0, release.current.min_seconds - (now - release.step_started))
    return (
        f"{_at(release)}: {baseline:,} and {candidate:,} users so far, {release.current.min_units:,} of each are the "
        f"horizon{f'; {left:.0f} s left at least' if left else ''}"
    )


def horizon(release: Release, interval: Interval) -> str:
    """The counts of each metric when an A/B test is over."""
    baseline, candidate = interval.exposed
    counts = [_counts(release, spec, found) for spec, found in _seen(release)]
    return (
        f"the horizon is reached with {baseline:,} users of {release.baseline} and {candidate:,} of "
        f"{release.candidate}: {'; '.join(counts) or 'nothing was counted'}"
    )


def mismatch(release: Release) -> str:
    baseline, candidate = release.exposed[release.step]
    return (
        f"the split is not what was asked for: {baseline:,} users of {release.baseline} and {candidate:,} of "
        f"{release.candidate} {_at(release)}; calls of one version are lost or sent elsewhere, so no comparison can be "
        "trusted: find out why before you go on"
    )


def approval(release: Release) -> str:
    asked = release.current.note or f"may {release.candidate} go on from {share(release.current.share)}?"
    return f"a person has to approve: {asked}"


def previewed(release: Release) -> str:
    return f"{release.candidate} was there for those who asked for it, and no guard was broken"


def watched(release: Release, interval: Interval) -> str:
    return (
        f"no sign of harm with all users on {release.candidate}, {interval.candidate_units:,} of them answered, "
        f"against the rates that {release.baseline} had before"
    )


def no_data(release: Release, spec: MetricSpec, evidence: MetricEvidence) -> str:
    have, need = evidence.baseline_events + evidence.candidate_events, max(spec.min_events, 1)
    return f"{_at(release)}: {spec.name} must have data, {have:,} of {need:,} events so far"


def unproven(release: Release, spec: MetricSpec, evidence: MetricEvidence) -> str:
    """Before full traffic: how far the proof is, and how many more users it needs at this pace."""
    have, need = evalue.proof(evidence), evalue.proven_at(release.plan)
    users = evidence.candidate_units
    text = f"{_counts(release, spec, evidence)}; the e-value for 'not worse' is {number(have)} of {number(need)}"
    if have > 0.1 and users:
        return f"{text}; {users:,} users so far, about {ceil(users * need / have):,} needed at this pace"
    return f"{text}; {users:,} users so far, too few to say how many are needed"


def advanced(release: Release, interval: Interval) -> str:
    if release.current.kind is StepKind.SHADOW:
        return f"{interval.candidate_units:,} answers of {release.candidate} differ no more than is tolerated"
    return f"no sign of harm {_at(release)} with {interval.candidate_units:,} users of {release.candidate}"


def proven(release: Release) -> str:
    """Why the candidate may have everything."""
    parts = [_counts(release, spec, found) for spec, found in _seen(release) if spec.required]
    return f"{release.candidate} is proven not worse than {release.baseline}: {'; '.join(parts)}"


def undecided(release: Release, why: str) -> str:
    seconds = release.current.max_seconds
    return f"after {seconds:g} s {_at(release)} neither harm nor its absence is proven: {why}"


_EVENTS = {
    MetricKind.ERRORS: "users had a failed call",
    MetricKind.SLOW: "users had a slow answer",
    MetricKind.FEEDBACK: "users were unhappy",
    MetricKind.FLIPS: "answers differ from what users got",
}


def _counts(release: Release, spec: MetricSpec, evidence: MetricEvidence) -> str:
    what = _EVENTS.get(spec.kind, f"users had {spec.event!r}")
    if spec.kind is MetricKind.SLOW:
        what += f" (over {_milliseconds(evidence.cut_ms)}, {spec.name})"
    if spec.kind is MetricKind.VALUE:
        return _means(release, spec, evidence)
    candidate = f"{evidence.candidate_events:,} of {evidence.candidate_units:,} {what} with {release.candidate}"
    if spec.kind is MetricKind.FLIPS:
        return f"{candidate}, {100 * spec.tolerance:g} % are tolerated"
    if release.current.kind is StepKind.SWITCH and evidence.limit:
        return f"{candidate}, at most {100 * evidence.limit:.2g} % in each interval are tolerated"
    return f"{candidate}, {evidence.baseline_events:,} of {evidence.baseline_units:,} with {release.baseline}"


def _means(release: Release, spec: MetricSpec, evidence: MetricEvidence) -> str:
    state = evalue.means(evidence)
    if state is None:
        raise ValueError(f"{spec.name} has no means")
    marked = "" if evidence.bets else " (asymptotic)"
    return (
        f"{spec.event!r} is {state.candidate.mean:.4g} on average over {state.candidate.units:,} users with "
        f"{release.candidate}, {state.baseline.mean:.4g} over {state.baseline.units:,} with {release.baseline}{marked}"
    )


def _seen(release: Release) -> list[tuple[MetricSpec, MetricEvidence]]:
    """The metrics with data."""
    evidence = release.evidence or {}
    pairs = ((spec, evidence[spec.name]) for spec in release.plan.metrics if spec.name in evidence)
    return [(spec, found) for spec, found in pairs if found.candidate_units]


def _at(release: Release) -> str:
    """Where it stands, to begin a sentence with: at 5 %, in the shadow of 100 %."""
    now = release.current
    plain = now.kind in (StepKind.SHARE, StepKind.SWITCH)
    return f"at {share(now.share)}" if plain else f"in the {step(now)}"


def _milliseconds(value: float) -> str:
    digits = max(0, 1 - int(log10(value))) if value > 0 else 0
    return f"{value:.{digits}f} ms"
