"""What a step of a release is called, where it stands, and what it still waits for. Pure.

Called by sentences.py, the timeline of steps and the box of the current step. Decides how each kind of step is said;
when it is over is release/steps/'s to decide, and what has to be proven release/proof.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from headrace.console.parts import numbers
from headrace.console.visit import Visit
from headrace.release import evalue, srm
from headrace.release.advance import exposures
from headrace.release.proof import lacks_data, open_proofs
from headrace.release.steps.base import is_last_of
from headrace.types.release import Phase, Release
from headrace.types.strategy import MetricSpec, Step, StepKind

ICONS: dict[StepKind, str] = {
    StepKind.SHARE: "releases",
    StepKind.SHADOW: "copy",
    StepKind.PREVIEW: "eye",
    StepKind.APPROVAL: "person",
    StepKind.SWITCH: "gateway",
    StepKind.HORIZON: "flag",
}
PAIRS, ARM = ("wait.pairs_words", "wait.pairs_met"), ("wait.arm_words", "wait.arm_met")
_TELLS = 0.1  # of a logarithm of an e-value: below it, nobody can say how many users are still needed


class Asked(StrEnum):
    """Why the platform paused a release by itself."""

    APPROVAL = "approval"  # the plan wants a person's word here
    HORIZON = "horizon"  # an A/B test is over and wants to be read
    SPLIT = "split"  # users did not come in the share that was asked for
    UNDECIDED = "undecided"  # the time is up, and nothing is proven


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """One thing that has to happen before a step is over. `part`: how much of it has."""

    label: str
    words: str
    part: float
    role: str = "candidate"

    @property
    def met(self) -> bool:
        return self.part >= 1


def step_title(visit: Visit, step: Step) -> str:
    """5 %, shadow of 100 %, approval."""
    return visit.name("kind", step.kind, share=numbers.share(step.share), mirror=numbers.share(step.mirror))


def step_place(visit: Visit, step: Step) -> str:
    """Within a sentence: at 5 %, in the shadow of 100 % of calls."""
    return visit.name("place_of", step.kind, share=numbers.share(step.share), mirror=numbers.share(step.mirror))


def asked(release: Release) -> Asked | None:
    """None: it is not paused, or a person paused it."""
    last = next((event for event in reversed(release.history) if event.name == "paused"), None)
    if release.phase is not Phase.PAUSED or last is None or not last.actor.startswith("system:"):
        return None
    if release.current.kind is StepKind.APPROVAL and not release.approved:
        return Asked.APPROVAL
    if srm.alarming(exposures(release)):
        return Asked.SPLIT
    return Asked.HORIZON if _at_horizon(release) else Asked.UNDECIDED


def _at_horizon(release: Release) -> bool:
    return release.current.kind is StepKind.HORIZON and min(users(release)) >= release.current.min_units


def users(release: Release) -> tuple[int, int]:
    """Of baseline and candidate, in this step."""
    return release.exposed[release.step] if release.step < len(release.exposed) else (0, 0)


def question(visit: Visit, release: Release) -> str:
    """What a person is asked in a step that waits for approval."""
    if note := release.current.note:
        return note
    if release.is_last:
        return visit.say("approval.all", candidate=release.candidate)
    following = step_title(visit, release.plan.steps[release.step + 1])
    return visit.say("approval.next", candidate=release.candidate, step=following)


def waits(visit: Visit, release: Release, now: float) -> list[Wait]:
    """Of the current step, in the order in which they matter: before enough was seen, nobody asks for a proof."""
    step = release.current
    made = list(_counts(visit, release))
    if step.kind is not StepKind.APPROVAL and step.min_seconds:
        made.append(_time(visit, step, now - release.step_started))
    if _wants_proof(release) and all(wait.met for wait in made):
        made += [_proof(visit, release, spec) for spec in open_proofs(release)[:1]]
    return made


def _counts(visit: Visit, release: Release) -> Iterator[Wait]:
    step, have = release.current, release.step_units
    if step.kind in (StepKind.PREVIEW, StepKind.APPROVAL) or not step.min_units:
        return
    if step.kind is StepKind.SHADOW:
        words = _said(visit, PAIRS, have, step, noun="answers")
        yield _count(visit.say("wait.pairs"), words, have, step, "shadow")
    elif step.kind is StepKind.HORIZON:
        sides = zip(("baseline", "candidate"), (release.baseline, release.candidate), users(release), strict=True)
        for role, variant, seen in sides:
            words = _said(visit, ARM, seen, step, variant=variant)
            yield _count(visit.say("wait.arm", variant=variant), words, seen, step, role)
    else:
        have_words, need = visit.count("users", have), numbers.count(step.min_units)
        words = have_words if have >= step.min_units else visit.say("wait.users_words", have=have_words, need=need)
        yield _count(visit.say("wait.users"), words, have, step, "candidate")


def _said(visit: Visit, keys: tuple[str, str], have: int, step: Step, *, noun: str = "users", **more: str) -> str:
    """12 of 100 answers compared, and once there are enough: 104 answers compared."""
    lacking, met = keys
    if have >= step.min_units:
        return visit.say(met, have=visit.count(noun, have), **more)
    return visit.say(lacking, have=numbers.count(have), need=visit.count(noun, step.min_units), **more)


def _count(label: str, words: str, have: int, step: Step, role: str) -> Wait:
    return Wait(label=label, words=words, part=min(1.0, have / step.min_units), role=role)


def _time(visit: Visit, step: Step, waited: float) -> Wait:
    so_far, least = numbers.duration(waited), numbers.duration(step.min_seconds)
    words = so_far if waited >= step.min_seconds else visit.say("step.young", waited=so_far, least=least)
    part = min(1.0, max(0.0, waited / step.min_seconds))
    return Wait(label=visit.say("wait.time"), words=words, part=part, role="none")


def _wants_proof(release: Release) -> bool:
    kind = release.current.kind
    return kind is StepKind.SHADOW or (kind is StepKind.SHARE and is_last_of(release, StepKind.SHARE))


def _proof(visit: Visit, release: Release, spec: MetricSpec) -> Wait:
    """How far the proof of no harm is, and how many more are needed at this pace."""
    found = (release.evidence or {})[spec.name]
    name = spec.name.replace("_", " ")
    label = visit.say("wait.proof", metric=name)
    shadow = release.current.kind is StepKind.SHADOW
    role = "shadow" if shadow else "candidate"
    if lacks_data(spec, found):
        have, need = found.baseline_events + found.candidate_events, max(spec.min_events, 1)
        words = visit.say("wait.data_words", metric=name, have=numbers.count(have), need=visit.count("events", need))
        return Wait(label=label, words=words, part=have / need)
    have_log, need_log, seen = evalue.proof(found), evalue.proven_at(release.plan), found.candidate_units
    part = min(0.99, max(0.0, have_log / need_log))
    if have_log <= _TELLS or not seen:
        return Wait(label=label, words=visit.say("wait.proof_early", metric=name), part=part, role=role)
    said = {"have": visit.count("users", seen), "need": numbers.count(ceil(seen * need_log / have_log)), "metric": name}
    words = visit.say("wait.proof_pairs" if shadow else "wait.proof_users", **said)
    return Wait(label=label, words=words, part=part, role=role)
