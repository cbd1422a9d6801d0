"""Pages of a long list: which rows these are, of how many, and the way to those before and after. Called by pages.

Decides how many rows a page has. Hidden while all fit on one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.console.parts import numbers
from headrace.console.parts.button import icon_button
from headrace.console.parts.tag import tag, text
from headrace.console.visit import Visit

ROWS = 50


class Pager:
    """`go` gets the number of a page, from 0 on."""

    def __init__(self, visit: Visit, go: Callable[[int], Any]) -> None:
        self._visit, self._go, self._page = visit, go, 0
        with tag("div", "pager") as self._box:
            self._words = text("span", "faint small num", "")
            with tag("div", "row-flex push"):
                turn = "ghost small"
                before, after = visit.say("pager.before"), visit.say("pager.after")
                self._before = icon_button(before, lambda: self._go(self._page - 1), icon_name="left", kind=turn)
                self._after = icon_button(after, lambda: self._go(self._page + 1), icon_name="right", kind=turn)
        self._box.set_visibility(False)

    def show(self, page: int, total: int) -> slice:
        """What to show of the rows: the page, or the last one there is."""
        self._page = page = min(max(page, 0), max(total - 1, 0) // ROWS)
        first, last = page * ROWS, min((page + 1) * ROWS, total)
        self._box.set_visibility(total > ROWS)
        told = {"first": numbers.count(first + 1), "last": numbers.count(last), "total": f"{total:,}"}
        self._words.set_text(self._visit.say("pager.rows", **told))
        for turner, off in ((self._before, page == 0), (self._after, last >= total)):
            if off:
                turner.props["disabled"] = True
            elif "disabled" in turner.props:
                del turner.props["disabled"]
        return slice(first, last)
