"""The sentence on top of a page, made from state. Pure; called by the pages.

Decides what matters most right now and how it is said; the words are the catalogue's. `tone` is bad when a person
should look, good when something ended well, else empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.console.messages import Language
from headrace.console.parts import numbers
from headrace.console.visit import Visit
from headrace.console.waits import Asked, asked, question, step_place, step_title, users, waits
from headrace.types.endpoint import Endpoint
from headrace.types.release import Phase, Release, Verdict
from headrace.types.strategy import StepKind
from headrace.types.traffic import BUCKETS, TrafficPolicy

FRESH = 3600.0  # seconds for which the end of a release is news
NAMED = 3  # releases that wait, in one sentence
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
    waiting = [r for r in releases if r.phase is Phase.PAUSED]
    if waiting:
        return Said(text=_say_waiting(visit, waiting), tone="bad")
    parts = [visit.count("overview.serving", len(endpoints), rate=numbers.rate(traffic.rate)), _errors(visit, traffic)]
    if releases:
        parts.append(visit.count("overview.releasing", len(releases)))
    elif recent and recent[0].ended >= visit.now() - FRESH:
        last = recent[0]
        phase = visit.name("ended", last.phase)
        parts.append(visit.say("overview.last", endpoint=last.endpoint, candidate=last.candidate, phase=phase))
    return Said(text=visit.say("sentence.joint").join(parts), tone="bad" if traffic.errors else "")


def _say_waiting(visit: Visit, waiting: Sequence[Release]) -> str:
    first = waiting[0]
    if len(waiting) > 1:
        names = visit.say("release.and").join(f"{r.endpoint} {r.candidate}" for r in waiting[:NAMED])
        return visit.count("overview.waiting_for", len(waiting), names=names)
    why = asked(first) or Asked.UNDECIDED
    return visit.name("overview_asked", why, endpoint=first.endpoint, candidate=first.candidate)


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
        split = _split(visit, policy, release)
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


def _split(visit: Visit, policy: TrafficPolicy, release: Release) -> str:
    named = {"candidate": policy.candidate, "baseline": policy.baseline}
    if not policy.share:
        return visit.say("endpoint.unseen", step=step_title(visit, release.current), **named)
    if policy.share == BUCKETS:
        return visit.say("endpoint.switched", **named)
    return visit.say("endpoint.split", share=numbers.share(policy.share), **named)


def _errors(visit: Visit, traffic: Traffic) -> str:
    if not traffic.errors:
        return visit.say("overview.no_errors")
    return visit.say(
        "overview.errors",
        errors=numbers.count(traffic.errors),
        calls=visit.count("calls", traffic.calls),
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
        "place": step_place(visit, release.current),
    }
    if release.phase in ended:
        key, tone = ended[release.phase]
        return Said(text=visit.say(key, **values), tone=tone)
    if release.phase is Phase.PAUSED:
        return Said(text=_say_paused(visit, release, values), tone="bad")
    if release.phase is Phase.PREPARING:
        return Said(text=visit.say("release.preparing", **values))
    return _say_progress(visit, release, now, values)


def _say_paused(visit: Visit, release: Release, values: dict[str, str]) -> str:
    why = asked(release)
    baseline, candidate = users(release)
    if why in (Asked.HORIZON, Asked.SPLIT):
        counts = {"on_baseline": visit.count("users", baseline), "on_candidate": visit.count("users", candidate)}
        return visit.name("asked", why, **values, **counts)
    if why is Asked.APPROVAL:
        return visit.name("asked", why, **values | {"reason": question(visit, release).rstrip("?？. ")})
    reason = release.paused_reason or reason_of(release)
    return visit.say("release.paused", **values | {"reason": reason.rstrip(". ")})


def _say_progress(visit: Visit, release: Release, now: float, values: dict[str, str]) -> Said:
    if release.judgement is not None and release.judgement.verdict is Verdict.ERROR:
        return Said(text=visit.say("release.unseen", **values), tone="bad")
    step = release.current
    if step.kind is StepKind.APPROVAL:
        return Said(
            text=visit.name("asked", Asked.APPROVAL, **values | {"reason": question(visit, release).rstrip("?")})
        )
    opening = visit.name("stands", step.kind, share=numbers.share(step.share), **_mirrored(release), **values)
    missing = [wait.words for wait in waits(visit, release, now) if not wait.met]
    if missing:
        held = visit.say("release.held", missing=visit.say("release.and").join(missing))
        return Said(text=visit.say("sentence.joint").join([opening, held]))
    return Said(
        text=visit.say("sentence.joint").join([opening, visit.say("release.calm")]) if release.judgement else opening
    )


def _mirrored(release: Release) -> dict[str, str]:
    """What is said of a shadow: how many of its answers would have been another one."""
    pairs = release.pairs
    return {
        "mirror": numbers.share(release.current.mirror),
        "differ": numbers.percent(pairs.flips, pairs.pairs) if pairs and pairs.pairs else numbers.NOTHING,
    }


def reason_of(release: Release) -> str:
    """The platform's reason, as it was recorded; without its final full stop, so that it fits into a sentence."""
    recorded = release.judgement.reason if release.judgement else ""
    ending = next((e.detail for e in reversed(release.history) if e.name in ("rolled_back", "failed", "aborted")), "")
    return ((ending if release.phase.ended else "") or recorded).rstrip(". ")


def why_now(visit: Visit, release: Release, now: float) -> str:
    """The reason as it was recorded, which is in English; who reads another language is told in it what is missing."""
    held = release.judgement is not None and release.judgement.verdict is Verdict.HOLD and not release.phase.ended
    if held and visit.language is not Language.ENGLISH:
        missing = [wait.words for wait in waits(visit, release, now) if not wait.met]
        if missing:
            return visit.say("release.held", missing=visit.say("release.and").join(missing))
    return upper_first(release, reason_of(release))


def upper_first(release: Release, sentence: str) -> str:
    """A sentence begins with a capital, a variant's name does not."""
    if sentence.startswith((release.candidate, release.baseline)):
        return sentence
    return sentence[:1].upper() + sentence[1:]


def taken(release: Release, now: float) -> float:
    """Seconds since it was ready: preparation, which harms nobody, does not count."""
    began = next((event.time for event in release.history if event.name == "started"), release.created)
    return (release.ended or now) - began


def current_share(release: Release) -> int:
    """What the candidate has of the traffic now."""
    if release.phase is Phase.PROMOTED:
        return 10_000
    if release.phase in (Phase.PREPARING, *(p for p in Phase if p.ended)):
        return 0
    return release.current.share
