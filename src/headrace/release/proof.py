"""Whether what has to be proven before a step may end is proven. Pure; called by steps/."""

from __future__ import annotations

from headrace.release import evalue, words
from headrace.types.release import MetricEvidence, Release
from headrace.types.strategy import MetricKind, MetricSpec, StepKind

_MAY_BE_SILENT = (MetricKind.FEEDBACK, MetricKind.RATE, MetricKind.VALUE)  # what people may never say


def unproven(release: Release) -> str:
    """The first metric whose proof is still missing, in words; empty when there is none."""
    for spec in open_proofs(release)[:1]:
        found = (release.evidence or {})[spec.name]
        say = words.no_data if lacks_data(spec, found) else words.unproven
        return say(release, spec, found)
    return ""


def open_proofs(release: Release) -> list[MetricSpec]:
    """The metrics whose data or proof is still missing, in the order of the plan. Also what the console shows."""
    evidence = release.evidence or {}
    return [spec for spec in release.plan.metrics if spec.name in evidence and _is_open(release, spec)]


def lacks_data(spec: MetricSpec, found: MetricEvidence) -> bool:
    return spec.must_have_data and _events(found) < max(spec.min_events, 1)


def _is_open(release: Release, spec: MetricSpec) -> bool:
    found = (release.evidence or {})[spec.name]
    if spec.dry_run or not _concerns(spec, release.current.kind):
        return False
    if lacks_data(spec, found):
        return True
    if not spec.required or not release.plan.proof or (spec.kind in _MAY_BE_SILENT and not _events(found)):
        return False
    return evalue.proof(found) < evalue.proven_at(release.plan)


def _concerns(spec: MetricSpec, kind: StepKind) -> bool:
    """Pairs prove something of a shadow, and nothing else does."""
    return (spec.kind is MetricKind.FLIPS) == (kind is StepKind.SHADOW)


def _events(found: MetricEvidence) -> int:
    return found.candidate_events + found.baseline_events
