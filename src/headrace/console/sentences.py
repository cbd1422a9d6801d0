"""The sentence on top of a page, made from state. Pure; called by the pages.

Decides what matters most right now and how it is said; the words are the catalogue's. `tone` is bad when a person
should look, good when something ended well, else empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.console.parts import numbers
from headrace.console.visit import Visit
from headrace.types.endpoint import Endpoint
from headrace.types.release import Phase, Release, Verdict
from headrace.types.strategy import Step

FRESH = 3600.0  # seconds for which the end of a release is news
RECENT = 300.0  # seconds that "recently" means on every page


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What an endpoint, or all of them, answered in the last RECENT seconds."""

    calls: int = 0
    errors: int = 0
    rate: float = 0.0  # calls per second, over the last seconds alone
    p50_ms: float | None = None
    p99_ms: float | None = None
    variants: dict[str, Traffic] = field(default_factory=dict)


def say_overview(visit: Visit, endpoints: Sequence[Endpoint], traffic: Traffic, recent: Sequence[Release]) -> Said:
    """`recent`: the latest releases, newest first."""
    releases = [release for release in recent if not release.phase.ended]
    if not endpoints:
        return Said(text=visit.say("overview.nothing"))
    waiting = next((r for r in releases if r.phase is Phase.PAUSED), None)
    if waiting is not None:
        return Said(
            text=visit.say("overview.waiting", endpoint=waiting.endpoint, candidate=waiting.candidate), tone="bad"
        )
    parts = [visit.count("overview.serving", len(endpoints), rate=numbers.rate(traffic.rate)), _errors(visit, traffic)]
    if releases:
        parts.append(visit.count("overview.releasing", len(releases)))
    elif recent and recent[0].ended >= visit.now() - FRESH:
        last = recent[0]
        phase = visit.name("ended", last.phase)
        parts.append(visit.say("overview.last", endpoint=last.endpoint, candidate=last.candidate, phase=phase))
    return Said(text=visit.say("sentence.joint").join(parts), tone="bad" if traffic.errors else "")


def say_status(visit: Visit, status: dict[str, Any]) -> list[str]:
    """What does not work, of services.status(): data planes, MLflow, loops. Serving goes on without the latter two."""
    told = []
    for plane in status["planes"]:
        if not plane["ready"]:
            told.append(
                visit.say("status.plane", url=plane["url"], error=plane["error"] or visit.say("status.starting"))
            )
        elif plane["error"]:
            told.append(visit.say("status.refused", error=plane["error"]))
        if plane["lost"]:
            told.append(visit.count("status.lost", plane["lost"]))
    if not status["mlflow"]["ok"] and status["mlflow"]["error"]:
        told.append(visit.say("status.mlflow", error=status["mlflow"]["error"]))
    failing = [name for name in status["failing"] if name != "registry"]
    if failing:
        told.append(visit.say("status.loops", names=", ".join(failing)))
    return told


def say_endpoint(visit: Visit, endpoint: Endpoint, traffic: Traffic, release: Release | None) -> Said:
    policy = endpoint.policy
    if endpoint.parked:
        return Said(text=visit.say("endpoint.parked"))
    if policy.candidate and release is not None:
        split = visit.say(
            "endpoint.split", candidate=policy.candidate, baseline=policy.baseline, share=numbers.share(policy.share)
        )
    else:
        split = visit.say("endpoint.whole", baseline=policy.baseline)
    if not traffic.calls:
        return Said(text=visit.say("sentence.joint").join([split, visit.say("endpoint.silent")]))
    parts = [
        split,
        visit.say("endpoint.rate", rate=numbers.rate(traffic.rate), p99=numbers.milliseconds(traffic.p99_ms)),
    ]
    return Said(
        text=visit.say("sentence.joint").join([*parts, _errors(visit, traffic)]), tone="bad" if traffic.errors else ""
    )


def _errors(visit: Visit, traffic: Traffic) -> str:
    if not traffic.errors:
        return visit.say("overview.no_errors")
    return visit.say(
        "overview.errors",
        errors=numbers.count(traffic.errors),
        calls=numbers.count(traffic.calls),
        percent=numbers.percent(traffic.errors, traffic.calls),
    )


def say_release(visit: Visit, release: Release, now: float) -> Said:
    ended = {
        Phase.PROMOTED: ("release.promoted", "good"),
        Phase.ROLLED_BACK: ("release.rolled_back", "bad"),
        Phase.ABORTED: ("release.aborted", ""),
        Phase.FAILED: ("release.failed", "bad"),
    }
    values = {
        "candidate": release.candidate,
        "baseline": release.baseline,
        "took": numbers.duration(taken(release, now)),
        "reason": reason_of(release),
        "share": numbers.share(current_share(release)),
    }
    if release.phase in ended:
        key, tone = ended[release.phase]
        return Said(text=visit.say(key, **values), tone=tone)
    if release.phase is Phase.PAUSED:
        reason = release.paused_reason or reason_of(release)
        return Said(text=visit.say("release.paused", **values | {"reason": reason}), tone="bad")
    if release.phase is Phase.PREPARING:
        return Said(text=visit.say("release.preparing", **values))
    return _say_progress(visit, release, now, values)


def _say_progress(visit: Visit, release: Release, now: float, values: dict[str, str]) -> Said:
    step = current_step(release)
    if release.judgement is not None and release.judgement.verdict is Verdict.ERROR:
        return Said(text=visit.say("release.unseen", **values), tone="bad")
    if step is None:
        return Said(text=visit.say("release.going", **values))
    waited = now - release.step_started
    if release.step_units < step.min_units:
        return Said(
            text=visit.say(
                "release.few", units=numbers.count(release.step_units), need=numbers.count(step.min_units), **values
            )
        )
    if waited < step.min_seconds:
        left = numbers.duration(step.min_seconds - waited)
        return Said(text=visit.say("release.young", units=numbers.count(release.step_units), left=left, **values))
    said = values | {"reason": values["reason"].removeprefix(f"at {values['share']}: ")}  # the share is said already
    return Said(text=visit.say("release.judged" if values["reason"] else "release.going", **said))


def reason_of(release: Release) -> str:
    """The platform's reason, as it was recorded; without its final full stop, so that it fits into a sentence."""
    recorded = release.judgement.reason if release.judgement else ""
    ending = next((e.detail for e in reversed(release.history) if e.name in ("rolled_back", "failed", "aborted")), "")
    return ((ending if release.phase.ended else "") or recorded).rstrip(". ")


def upper_first(release: Release, sentence: str) -> str:
    """A sentence begins with a capital, a variant's name does not."""
    if sentence.startswith((release.candidate, release.baseline)):
        return sentence
    return sentence[:1].upper() + sentence[1:]


def taken(release: Release, now: float) -> float:
    """Seconds with traffic: preparation, which harms nobody, does not count."""
    began = next((event.time for event in release.history if event.share), release.created)
    return (release.ended or now) - began


def current_step(release: Release) -> Step | None:
    steps = release.plan.steps
    return steps[release.step] if release.step < len(steps) else None


def current_share(release: Release) -> int:
    """What the candidate has of the traffic now."""
    if release.phase is Phase.PROMOTED:
        return 10_000
    if release.phase in (Phase.PREPARING, *(p for p in Phase if p.ended)):
        return 0
    step = current_step(release)
    return step.share if step else 0
