"""What waits for a second person: who wants what and why, and the two answers.

Called by the history page. Decides that an answer is asked for with its consequence; whether a person may give it is
the release room's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from headrace.console.parts.button import button
from headrace.console.parts.confirm import Change, Question, confirm, toast
from headrace.console.parts.frame import panel
from headrace.console.parts.tag import tag, text
from headrace.console.parts.when import when
from headrace.console.visit import Visit
from headrace.types.approval import Approval


class Waiting:
    """Hidden while nothing waits."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._shown: tuple[Approval, ...] = ()
        with tag("div") as self._box, panel(visit.say("audit.waiting_title")):
            self._list = tag("div", "stack")
            self._draw_name()
        self._box.set_visibility(False)

    def show(self, waiting: tuple[Approval, ...]) -> None:
        self._box.set_visibility(bool(waiting))
        if waiting != self._shown:
            self._shown = waiting
            self._list.clear()
            with self._list:
                for request in waiting:
                    self._draw(request)

    def _draw(self, request: Approval) -> None:
        say = self._visit.say
        with tag("div", "row-flex wrap"):
            with tag("div", "stack stack-4"):
                text("span", "", request.sentence)
                with tag("span", "faint small row-flex wrap"):
                    text("span", "", say("audit.asked_by", actor=request.actor))
                    when(request.created)
                    text("span", "", say("audit.yes", yes=len(request.votes), people=request.people))
                    if request.reason:
                        text("span", "soft", request.reason)
            with tag("div", "row-flex push"):
                button(say("audit.refuse"), partial(self._ask, request, False), icon_name="close")
                button(say("audit.approve"), partial(self._ask, request, True), kind="primary", icon_name="check")

    def _draw_name(self) -> None:
        """Names are what people say of themselves; this one goes into the history with all that is done here."""
        visit = self._visit
        with tag("label", "labelled").style("max-width: 260px; margin-top: 16px"):
            text("span", "label", visit.say("audit.you"))
            with tag("span", "field"):
                box = tag("input", "", type="text", maxlength=100, defaultValue=visit.name_given)
                keep = "(e) => { prefer('name', encodeURIComponent(e.target.value.trim())); location.reload(); }"
                box.on("change", js_handler=keep)

    def _ask(self, request: Approval, yes: bool) -> None:
        visit, deed = self._visit, "approve" if yes else "refuse"
        will = "audit.is_done" if yes and len(request.votes) + 1 >= request.people else "audit.waits"
        question = Question(
            title=visit.name("audit", f"ask_{deed}"),
            sentence=request.sentence,
            changes=[
                Change(
                    what=request.id,
                    was=visit.say("audit.waits"),
                    will=visit.say(will if yes else "audit.is_refused"),
                )
            ],
            yes=visit.name("audit", deed),
            danger=not yes,
        )
        confirm(visit, question, act=self._acting(request, deed), done=partial(self._done, request, deed))

    def _acting(self, request: Approval, deed: str) -> Callable[[str], Any]:
        act = getattr(self._visit.services.releases, deed)
        return lambda reason: act(request.id, actor=self._visit.actor, reason=reason)

    def _done(self, request: Approval, deed: str) -> None:
        toast(self._visit, self._visit.name("audit", f"did_{deed}", sentence=request.sentence))
