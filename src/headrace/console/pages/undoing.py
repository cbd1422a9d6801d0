"""The button that takes back an endpoint's last move, where there is something to take back and that is safe.

Called by the endpoint page and the page of a promoted release. Decides nothing: whether it is safe is
release/undo.py's, which is asked again when the button is pressed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.console.parts import numbers
from headrace.console.parts.button import button
from headrace.console.parts.confirm import Change, Question, confirm, toast
from headrace.console.parts.tag import tag
from headrace.console.visit import Visit
from headrace.release.undo import Undo
from headrace.types.errors import Conflict, NotFound
from headrace.types.release import Phase, Release
from headrace.types.traffic import BUCKETS

if TYPE_CHECKING:
    from headrace.control.services import Services


def find_undo(services: Services, endpoint: str) -> Undo | None:
    """None: nothing has moved, or to take it back would be unsafe."""
    try:
        return services.releases.find_undo(endpoint)
    except (Conflict, NotFound):
        return None


def undo_of(services: Services, release: Release) -> Undo | None:
    """Of its promotion, while nothing has moved since. Endpoints that moved together are taken back on their pages."""
    if release.phase is not Phase.PROMOTED or release.others:
        return None
    found = find_undo(services, release.endpoint)
    return found if found is not None and found.entry.about.release == release.id else None


class UndoButton:
    """Hidden while there is nothing to take back. `done` runs in the page, afterwards."""

    def __init__(self, visit: Visit, done: Callable[[], None]) -> None:
        self._visit, self._done = visit, done
        self._found: Undo | None = None
        with tag("div") as self._box:
            button(visit.say("undo.button"), self._ask, icon_name="undo")
        self._box.set_visibility(False)

    def show(self, found: Undo | None) -> None:
        self._found = found
        self._box.set_visibility(found is not None)

    def _ask(self) -> None:
        found, visit = self._found, self._visit
        if found is None:
            return
        entry = found.entry
        question = Question(
            title=visit.say("undo.ask", endpoint=found.endpoint),
            sentence=visit.say("undo.means", action=entry.action, actor=entry.actor, to=found.to.variant),
            changes=changes_of(visit, found),
            yes=visit.say("undo.yes"),
        )

        def act(reason: str) -> None:
            visit.services.releases.undo(found.endpoint, actor=visit.actor, reason=reason, entry=entry.id)

        confirm(visit, question, act=act, done=self._told)

    def _told(self) -> None:
        if self._found is not None:
            toast(self._visit, self._visit.say("undo.did", to=self._found.to.variant, endpoint=self._found.endpoint))
        self.show(None)
        self._done()


def changes_of(visit: Visit, found: Undo) -> list[Change]:
    """Of each variant that has traffic now, and of the one that gets it."""
    now = {one.variant: one.share for one in found.entry.about.after}
    return [
        Change(
            what=visit.say("change.share", variant=variant),
            was=numbers.share(now.get(variant, 0)),
            will=numbers.share(BUCKETS if variant == found.to.variant else 0),
        )
        for variant in dict.fromkeys([found.to.variant, *now])
    ]
