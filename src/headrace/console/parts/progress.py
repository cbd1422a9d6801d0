"""How far a release is, step by step. Pure; called by the overview and the release page.

Decides what is said about a step: what it still waits for, not what it has. The rules are release/steps/'s.
"""

from __future__ import annotations

from headrace.console.parts import numbers
from headrace.console.parts.traffic import StepView
from headrace.console.visit import Visit
from headrace.console.waits import ICONS, Asked, Wait, asked, question, step_title, waits
from headrace.types.release import Phase, Release
from headrace.types.strategy import AtEnd, ReleasePlan, StepKind
from headrace.types.traffic import BUCKETS


def stops(release: Release) -> int:
    """The steps of the plan, and all traffic: that is the promotion, not a step of the plan."""
    return len(release.plan.steps) + 1


def step_views(visit: Visit, release: Release, now: float) -> list[StepView]:
    """Each step's state; the current one says what it waits for."""
    views = []
    promoted = release.phase is Phase.PROMOTED
    for index, step in enumerate(release.plan.steps):
        state, words, part = "next", visit.say("step.next"), 0.0
        if promoted or index < release.step:
            state, words = "done", visit.say("step.done")
        elif index == release.step and release.phase.ended:
            state, words = "failed", visit.name("phase", release.phase)
        elif index == release.step and release.phase is not Phase.PREPARING:
            state = "now"
            words, part = _held(visit, release, now)
        shadow = step.kind is StepKind.SHADOW
        views.append(
            StepView(
                title=step_title(visit, step),
                brief=numbers.share(step.share) if step.kind is StepKind.SHARE else "",
                icon=ICONS[step.kind],
                role="shadow" if shadow else "candidate",
                state=state,
                words=words,
                part=part,
            )
        )
    last = visit.name("step_last", last_stop(release.plan))
    words = visit.say("step.done" if promoted else "step.next") if promoted or release.phase.ended else last
    everything = numbers.share(BUCKETS)
    state = "done" if promoted else "next"
    return [*views, StepView(title=everything, brief=everything, icon="promote", state=state, words=words)]


def last_stop(plan: ReleasePlan) -> str:
    """What comes between the last step and all traffic."""
    last = plan.steps[-1].kind
    if plan.at_end is AtEnd.ASK or last is StepKind.APPROVAL:
        return "ask"
    if last is StepKind.SWITCH:
        return "switch"
    return "proof" if plan.proof else "calm"


def _held(visit: Visit, release: Release, now: float) -> tuple[str, float]:
    """What the current step waits for, in words and as the part that is done."""
    why = asked(release)
    if why is Asked.APPROVAL or release.current.kind is StepKind.APPROVAL:
        return question(visit, release), 1.0
    if why is not None:
        return visit.name("asked_short", why), 1.0
    found = waits(visit, release, now)
    words = " · ".join(wait.words for wait in _brief(found))
    return words or visit.say("step.over"), min((wait.part for wait in found), default=1.0)


def _brief(found: list[Wait]) -> list[Wait]:
    """A proof tells of users as well, and then their least number is no news."""
    unmet = [wait for wait in found if not wait.met]
    return unmet or found
