"""Ask before a change of the gateway: the whole diff, a reason, yes. Called by the versions page and the editor.

As confirm.py, with as many lines as there are. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import run, ui

from headrace.console.parts.button import button
from headrace.console.parts.confirm import ask_reason
from headrace.console.parts.diff import show_diff
from headrace.console.parts.frame import problem
from headrace.console.parts.tag import tag, text
from headrace.console.visit import Visit
from headrace.provision.diff import Line
from headrace.types.errors import HeadraceError


def ask_with_diff(
    visit: Visit,
    *,
    title: str,
    sentence: str,
    lines: Sequence[Line],
    yes: str,
    act: Callable[[str], Any],
    done: Callable[[], None],
) -> None:
    """`act` gets the reason and runs in a thread; `done` runs afterwards, in the page."""
    reason = {"text": ""}
    with ui.dialog() as dialog, tag("div", "dialog wide"):
        text("h2", "", title)
        text("p", "soft", sentence)
        with tag("div", "scrolls"):
            show_diff(visit, lines, nothing="")
        ask_reason(visit, reason)
        notices = tag("div")

        async def go() -> None:
            notices.clear()
            try:
                await run.io_bound(act, reason["text"])
            except HeadraceError as error:
                with notices:
                    problem(error.sentence())
                return
            dialog.close()
            done()

        with tag("div", "feet"):
            button(visit.say("confirm.no"), dialog.close)
            button(yes, go, kind="primary")
    dialog.on("hide", dialog.delete)
    dialog.open()
