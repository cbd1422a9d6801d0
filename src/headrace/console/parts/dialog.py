"""A dialog that does one thing when its button is pressed, and says in itself why that could not be.

Called by confirm.py, settle.py and pages that ask for something new. Decides nothing: what is asked is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nicegui import run, ui

from headrace.console.parts.button import button
from headrace.console.parts.frame import problem
from headrace.console.parts.tag import tag, text
from headrace.console.visit import Visit
from headrace.types.errors import HeadraceError


@contextmanager
def asking(
    visit: Visit,
    *,
    title: str,
    sentence: str,
    yes: str,
    act: Callable[[], Any],
    done: Callable[[Any], None],
    danger: bool = False,
) -> Iterator[None]:
    """The block draws what is asked. `act` runs in a thread; `done` gets what it made afterwards, in the page. That is
    None when the process ends meanwhile."""
    with ui.dialog() as dialog, tag("div", "dialog"):
        text("h2", "", title)
        text("p", "soft", sentence)
        yield
        notices = tag("div")

        async def go() -> None:
            notices.clear()
            try:
                made = await run.io_bound(act)
            except HeadraceError as error:
                with notices:
                    problem(error.sentence())
                return
            dialog.close()
            done(made)

        with tag("div", "feet"):
            button(visit.say("confirm.no"), dialog.close)
            button(yes, go, kind="danger solid" if danger else "primary")
    dialog.on("hide", dialog.delete)
    dialog.open()
