"""The buttons of a release: pause, resume, promote, abort. Each says before what it will change, and after what it did.

Called by the release page. Decides which action fits which phase; what it does is release.service's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from headrace.console.parts import numbers
from headrace.console.parts.button import button
from headrace.console.parts.confirm import Change, Question, confirm, toast
from headrace.console.visit import Visit
from headrace.console.waits import Asked, asked, step_title
from headrace.types.release import Phase, Release
from headrace.types.traffic import BUCKETS

ICONS = {"pause": "pause", "resume": "play", "approve": "check", "promote": "promote", "abort": "undo"}
OFFERED: dict[Phase, tuple[str, ...]] = {  # the last one is the primary
    Phase.PREPARING: ("abort",),
    Phase.PROGRESSING: ("abort", "promote", "pause"),
    Phase.PAUSED: ("abort", "promote", "resume"),
}
ASKED: dict[Asked, tuple[str, ...]] = {  # what the platform paused it for wants another answer
    Asked.APPROVAL: ("abort", "promote", "approve"),
    Asked.HORIZON: ("abort", "resume", "promote"),
}
DOES = {"approve": "resume"}  # to go on is the approval
PHASE_AFTER = {
    "pause": Phase.PAUSED,
    "resume": Phase.PROGRESSING,
    "approve": Phase.PROGRESSING,
    "promote": Phase.PROMOTED,
    "abort": Phase.ABORTED,
}
UNDONE_BY = {"pause": "resume", "resume": "pause"}


class Actions:
    def __init__(self, visit: Visit, release: Release) -> None:
        self._visit, self._release, self._share = visit, release, 0
        self._buttons: dict[tuple[str, bool], Any] = {}
        for action in ("abort", "pause", "resume", "promote", "approve"):
            for primary in (False, True):
                kind = "danger" if action == "abort" else "primary" if primary else ""
                self._buttons[action, primary] = button(
                    visit.name("action", action), partial(self._ask, action), kind=kind, icon_name=ICONS[action]
                )

    def show(self, release: Release, share: int) -> None:
        self._release, self._share = release, share
        offered = offers(release)
        for (action, primary), element in self._buttons.items():
            element.set_visibility(action in offered and primary == (action == offered[-1]))

    def approve(self) -> None:
        """The button beside the question."""
        self._ask("approve")

    def _ask(self, action: str) -> None:
        visit, release = self._visit, self._release
        question = Question(
            title=visit.name("ask", action, endpoint=release.endpoint, candidate=release.candidate),
            sentence=visit.name("ask", f"{action}_means", baseline=release.baseline, candidate=release.candidate),
            changes=changes_of(visit, release, self._share, action),
            yes=visit.name("action", action),
            danger=action == "abort",
        )
        confirm(visit, question, act=self._acting(action), done=partial(self._done, action))

    def _acting(self, action: str) -> Callable[[str], Any]:
        act = getattr(self._visit.services.releases, DOES.get(action, action))
        return lambda reason: act(self._release.id, actor=self._visit.actor, reason=reason)

    def _done(self, action: str) -> None:
        visit = self._visit
        undo = partial(self._ask, UNDONE_BY[action]) if action in UNDONE_BY else None
        toast(visit, visit.name("did", action, candidate=self._release.candidate), undo=undo)


def offers(release: Release) -> tuple[str, ...]:
    """The last one is the primary."""
    usual, why = OFFERED.get(release.phase, ()), asked(release)
    return usual if why is None else ASKED.get(why, usual)


def changes_of(visit: Visit, release: Release, share: int, action: str) -> list[Change]:
    """What an action changes, line by line."""
    after = {"promote": BUCKETS, "abort": 0, "approve": _approved_share(release)}.get(action, share)
    changes = [
        Change(
            what=visit.say("change.release"),
            was=visit.name("phase", release.phase),
            will=visit.name("phase", PHASE_AFTER[action]),
        ),
        Change(what=visit.say("change.share", variant=release.candidate), role="candidate",
               was=numbers.share(share), will=numbers.share(after)),
        Change(what=visit.say("change.share", variant=release.baseline), role="baseline",
               was=numbers.share(BUCKETS - share), will=numbers.share(BUCKETS - after)),
    ]  # fmt: skip
    if action == "promote":
        changes.append(Change(what=visit.say("change.stage", variant=release.baseline), role="baseline",
                              was=visit.name("stage", "Production"), will=visit.name("stage", "Archived")))  # fmt: skip
    if action == "approve" and not release.is_last:
        steps = [step_title(visit, release.plan.steps[release.step + more]) for more in (0, 1)]
        changes.insert(1, Change(what=visit.say("change.step"), was=steps[0], will=steps[1]))
    return changes


def _approved_share(release: Release) -> int:
    """What the next step gives the candidate; after the last one that is everything."""
    return BUCKETS if release.is_last else release.plan.steps[release.step + 1].share
