"""How far a release is, step by step. Pure; called by the overview and the release page.

Decides what is said about a step: what it still waits for, not what it has. The rules are release/advance.py's.
"""

from __future__ import annotations

from headrace.console.parts import numbers
from headrace.console.parts.traffic import StepView
from headrace.console.visit import Visit
from headrace.types.release import Phase, Release
from headrace.types.strategy import Step
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
            words, part = _waits_for(visit, step, release.step_units, now - release.step_started)
        views.append(StepView(share=step.share, state=state, words=words, part=part))
    words = visit.say("step.done" if promoted else "step.next" if release.phase.ended else "step.last")
    return [*views, StepView(share=BUCKETS, state="done" if promoted else "next", words=words)]


def _waits_for(visit: Visit, step: Step, units: int, waited: float) -> tuple[str, float]:
    """What the current step waits for, in words and as the part that is done."""
    users, need = numbers.count(units), numbers.count(step.min_units)
    so_far, least = numbers.duration(waited), numbers.duration(step.min_seconds)
    users_said = visit.say("step.users" if units >= step.min_units else "step.few", units=users, need=need)
    time_said = so_far if waited >= step.min_seconds else visit.say("step.young", waited=so_far, least=least)
    of_users = units / step.min_units if step.min_units else 1.0
    of_time = waited / step.min_seconds if step.min_seconds else 1.0
    return f"{users_said} · {time_said}", min(of_users, of_time, 1.0)
