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
from headrace.types.release import Phase, Release
from headrace.types.traffic import BUCKETS

ICONS = {"pause": "pause", "resume": "play", "promote": "promote", "abort": "undo"}
OFFERED: dict[Phase, tuple[str, ...]] = {  # the last one is the primary
    Phase.PREPARING: ("abort",),
    Phase.PROGRESSING: ("abort", "promote", "pause"),
    Phase.PAUSED: ("abort", "promote", "resume"),
}
PHASE_AFTER = {
    "pause": Phase.PAUSED,
    "resume": Phase.PROGRESSING,
    "promote": Phase.PROMOTED,
    "abort": Phase.ABORTED,
}
UNDONE_BY = {"pause": "resume", "resume": "pause"}


class Actions:
    def __init__(self, visit: Visit, release: Release) -> None:
        self._visit, self._release, self._share = visit, release, 0
        self._buttons: dict[tuple[str, bool], Any] = {}
        for action in ("abort", "promote", "pause", "resume"):
            for primary in (False, True):
                kind = "danger" if action == "abort" else "primary" if primary else ""
                self._buttons[action, primary] = button(
                    visit.name("action", action), partial(self._ask, action), kind=kind, icon_name=ICONS[action]
                )

    def show(self, release: Release, share: int) -> None:
        self._release, self._share = release, share
        offered = OFFERED.get(release.phase, ())
        for (action, primary), element in self._buttons.items():
            element.set_visibility(action in offered and primary == (action == offered[-1]))

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
        act = getattr(self._visit.services.releases, action)
        return lambda reason: act(self._release.id, actor=self._visit.actor, reason=reason)

    def _done(self, action: str) -> None:
        visit = self._visit
        undo = partial(self._ask, UNDONE_BY[action]) if action in UNDONE_BY else None
        toast(visit, visit.name("did", action, candidate=self._release.candidate), undo=undo)


def changes_of(visit: Visit, release: Release, share: int, action: str) -> list[Change]:
    """What an action changes, line by line."""
    after = {"promote": BUCKETS, "abort": 0}.get(action, share)
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
    return changes
