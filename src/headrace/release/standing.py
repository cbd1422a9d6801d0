"""Where a release stands, as one picture: phase, steps, who has how much of the traffic, and what is known.

Called by the admin API for `headrace release status --watch` and for programs. Pure. Its words are those that users of
Argo Rollouts know: a message, steps with a mark, and the weights that are set beside those that were seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from headrace.release import evalue, words
from headrace.release.record import finite, holdings
from headrace.types.endpoint import Endpoint
from headrace.types.release import Event, Phase, Release
from headrace.types.strategy import ReleasePlan
from headrace.types.traffic import BUCKETS

NEWEST = 8  # events


class Mark(StrEnum):
    """Of a step."""

    DONE = "done"
    CURRENT = "current"
    WAITING = "waiting"
    STOPPED = "stopped"  # where it was when the release ended early


class Reading(StrEnum):
    """Of a metric."""

    HARM = "harm"  # the e-value against the candidate has reached its limit
    PROVEN = "proven"  # not worse, or tolerable
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """What was seen of a variant's traffic lately."""

    calls: int = 0
    rate: float = 0.0  # calls a second
    errors: float = 0.0  # share of calls
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantStanding:
    name: str
    role: str  # baseline, candidate, or loaded: nobody is sent there
    uri: str
    stage: str
    set: int  # of BUCKETS
    actual: float  # share of the calls seen lately
    seen: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStanding:
    name: str
    revision: int  # of the plan that last changed it
    variants: tuple[VariantStanding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStanding:
    number: int  # from 1
    name: str
    mark: Mark
    share: int
    kind: str
    min_seconds: float
    min_units: int
    seconds: float = 0.0  # of the current one, so far
    units: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricStanding:
    name: str
    reading: Reading
    guards: bool  # alone enough to roll back
    required: bool
    log_harm: float
    log_limit: float  # 0: never rolls back
    baseline: tuple[int, int]  # events, units
    candidate: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    id: str
    endpoint: str
    strategy: str
    phase: Phase
    verdict: str
    message: str
    baseline: str
    candidate: str
    step: int  # from 1
    of: int
    set_weight: int  # of BUCKETS
    actual_weight: float
    started: float
    ended: float
    time: float
    actor: str
    steps: tuple[StepStanding, ...]
    endpoints: tuple[EndpointStanding, ...]
    metrics: tuple[MetricStanding, ...]
    events: tuple[Event, ...] = field(default=())  # newest first


def standing(
    release: Release, endpoints: Mapping[str, Endpoint], seen: Mapping[str, Mapping[str, Seconds]], now: float
) -> Standing:
    """`seen`: by endpoint and variant, of the last minute or so."""
    told = tuple(_endpoint(e, seen.get(name, {})) for name, e in endpoints.items())
    own = next((v for e in told if e.name == release.endpoint for v in e.variants if v.name == release.candidate), None)
    return Standing(
        id=release.id,
        endpoint=release.endpoint,
        strategy=release.plan.strategy.value,
        phase=release.phase,
        verdict=release.judgement.verdict.value if release.judgement else "",
        message=message_of(release),
        baseline=release.baseline,
        candidate=release.candidate,
        step=release.step + 1,
        of=len(release.plan.steps),
        set_weight=_weight(release),
        actual_weight=own.actual if own else 0.0,
        started=release.created,
        ended=release.ended,
        time=now,
        actor=release.actor,
        steps=tuple(_step(release, number, now) for number in range(len(release.plan.steps))),
        endpoints=told,
        metrics=_metrics(release, release.plan),
        events=tuple(reversed(release.history[-NEWEST:])),
    )


def message_of(release: Release) -> str:
    """Why it stands where it stands."""
    if release.phase is Phase.PAUSED:
        return release.paused_reason
    if release.phase.ended and release.history:
        return release.history[-1].detail
    if release.phase is Phase.PREPARING:
        return f"{release.candidate} is made ready and loaded everywhere; it has no traffic yet"
    return release.judgement.reason if release.judgement else "gathering evidence"


def _weight(release: Release) -> int:
    if release.phase is Phase.PROMOTED:
        return BUCKETS
    return release.current.share if release.phase in (Phase.PROGRESSING, Phase.PAUSED) else 0


def _step(release: Release, number: int, now: float) -> StepStanding:
    step, mark = release.plan.steps[number], _mark(release, number)
    here = mark is Mark.CURRENT
    return StepStanding(
        number=number + 1,
        name=words.step(step),
        mark=mark,
        share=step.share,
        kind=step.kind.value,
        min_seconds=step.min_seconds,
        min_units=step.min_units,
        seconds=max(0.0, now - release.step_started) if here else 0.0,
        units=release.step_units if here else 0,
        note=step.note,
    )


def _mark(release: Release, number: int) -> Mark:
    if release.phase is Phase.PROMOTED or number < release.step:
        return Mark.DONE
    if number > release.step or release.phase in (Phase.PREPARING, Phase.FAILED):
        return Mark.WAITING
    return Mark.STOPPED if release.phase.ended else Mark.CURRENT


def _endpoint(endpoint: Endpoint, seen: Mapping[str, Seconds]) -> EndpointStanding:
    calls = sum(one.calls for one in seen.values())
    held = {one.variant: one.share for one in holdings(endpoint)}
    roles = {endpoint.policy.baseline: "baseline", endpoint.policy.candidate: "candidate"}
    variants = tuple(
        VariantStanding(
            name=variant.name,
            role=roles.get(variant.name, "loaded"),
            uri=variant.model.uri,
            stage=variant.model.stage.value,
            set=held.get(variant.name, 0),
            actual=seen.get(variant.name, Seconds()).calls / calls if calls else 0.0,
            seen=seen.get(variant.name, Seconds()),
        )
        for variant in sorted(endpoint.variants, key=lambda v: (v.name not in roles, v.name))
    )
    return EndpointStanding(name=endpoint.name, revision=endpoint.revision, variants=variants)


def _metrics(release: Release, plan: ReleasePlan) -> tuple[MetricStanding, ...]:
    told = []
    for spec in plan.metrics:
        found = (release.evidence or {}).get(spec.name)
        if found is None:
            continue
        harm, limit = evalue.harm(found), evalue.roll_back_at(spec, plan)
        proven = evalue.proof(found) >= evalue.proven_at(plan)
        reading = Reading.HARM if harm >= limit else Reading.PROVEN if proven else Reading.OPEN
        told.append(
            MetricStanding(
                name=spec.name,
                reading=reading,
                guards=spec.guards,
                required=spec.required,
                log_harm=finite(harm),
                log_limit=finite(limit),
                baseline=(found.baseline_events, found.baseline_units),
                candidate=(found.candidate_events, found.candidate_units),
            )
        )
    return tuple(told)
