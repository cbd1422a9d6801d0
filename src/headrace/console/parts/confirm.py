"""Ask before an action: what it will change, line by line; say after it what it did, with an undo where one exists.

Called by pages with actions. Decides the order: diff, reason, yes; a failed action is said where it was asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from headrace.console.parts.button import button
from headrace.console.parts.dialog import asking
from headrace.console.parts.frame import role_mark
from headrace.console.parts.icon import icon
from headrace.console.parts.tag import VALUE_OF_TARGET, tag, text
from headrace.console.visit import Visit

TOAST_SECONDS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of what will change: `what`, from `was` to `will`."""

    what: str
    was: str
    will: str
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    title: str
    sentence: str
    changes: list[Change]
    yes: str  # what the button says
    danger: bool = False
    reasoned: bool = True  # the history keeps a reason of it


def confirm(visit: Visit, question: Question, *, act: Callable[[str], Any], done: Callable[[], None]) -> None:
    """`act` gets the reason and runs in a thread; `done` runs afterwards, in the page."""
    reason = {"text": ""}
    with asking(
        visit,
        title=question.title,
        sentence=question.sentence,
        yes=question.yes,
        act=lambda: act(reason["text"]),
        done=lambda _: done(),
        danger=question.danger,
    ):
        with tag("div", "change"):
            for change in question.changes:
                _show_change(change)
        if question.reasoned:
            ask_reason(visit, reason)


def ask_reason(visit: Visit, reason: dict[str, str]) -> None:
    """Into `reason["text"]`. Also used by settle.py."""
    with tag("label", "labelled"):
        text("span", "label", visit.say("confirm.reason"))
        with tag("span", "field"):
            box = tag("input", "", type="text", maxlength=200, placeholder=visit.say("confirm.reason_hint"))
            box.on("input", lambda event: reason.update(text=str(event.args)), js_handler=VALUE_OF_TARGET)


def _show_change(change: Change) -> None:
    with tag("div"):
        with tag("span", "variant ellipsis-1"):
            if change.role:
                tag("i", f"dot {role_mark(change.role)}")
            text("span", "ellipsis-1", change.what)
        text("span", "was num", change.was)
        icon("arrow", "faint")
        text("span", "will num", change.will)


def toast(visit: Visit, message: str, *, undo: Callable[[], Any] | None = None, tone: str = "good") -> None:
    """What an action did. It goes by itself."""
    with visit_toasts(), tag("div", f"toast tone-{tone}", role="status") as box:
        icon("check" if tone == "good" else "warn")
        text("span", "", message)
        if undo is not None:
            button(visit.say("confirm.undo"), undo, kind="ghost small push", icon_name="undo")
        ui.timer(TOAST_SECONDS, box.delete, once=True)


def visit_toasts() -> ui.element:
    """The corner of this page load where toasts stand; made on first use."""
    client = ui.context.client
    corner = client.storage.get("toasts")
    if corner is None or corner.is_deleted:
        with client.layout:
            corner = tag("div", "toasts", aria_live="polite")
        client.storage["toasts"] = corner
    return corner
