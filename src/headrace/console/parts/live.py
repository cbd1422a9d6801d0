"""Loads what a page shows, in a thread, and keeps it fresh until the person leaves. Called by every page with data.

Decides what happens when a look fails: the last values stay, the reason is said, the next look tries again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nicegui import run, ui

from headrace.console.parts.frame import problem
from headrace.console.parts.tag import tag
from headrace.types.errors import HeadraceError

T = TypeVar("T")


async def first_look(load: Callable[[], T]) -> T | None:
    """What `load` returns; None after the reason was shown in its place, or when the person has left meanwhile."""
    try:
        return await run.io_bound(load)
    except HeadraceError as error:
        problem(error.sentence())
        return None


def keep_fresh(
    load: Callable[[], T], show: Callable[[T], None], *, seconds: float = 1.0, at_once: bool = False
) -> ui.timer:
    """Show anew every `seconds`. The timer belongs to the page: it ends with it, or with the connection."""
    notices = tag("div")

    async def look() -> None:
        try:
            data = await run.io_bound(load)
        except HeadraceError as error:
            notices.clear()
            with notices:
                problem(error.sentence())
            return
        if data is None or notices.is_deleted:
            return
        if notices.default_slot.children:
            notices.clear()
        show(data)

    return ui.timer(seconds, look, immediate=at_once)
