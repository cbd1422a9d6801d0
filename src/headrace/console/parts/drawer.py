"""The side drawer: detail of one row, so that the list stays. Called by the traces page.

Decides how it opens and closes (button, Escape). Ignores what it shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from headrace.console.parts.button import icon_button
from headrace.console.parts.tag import tag, text
from headrace.console.visit import Visit


class Drawer:
    def __init__(self, visit: Visit, on_close: Callable[[], Any]) -> None:
        self._on_close = on_close
        with tag("aside", "drawer", role="dialog") as self._box:
            with tag("div", "drawer-head"):
                self._title = text("div", "ellipsis-1 mono", "")
                self.acts = tag("div", "row-flex push")
                closer = icon_button(visit.say("part.close"), self.close, icon_name="close")
                closer.props["data-escape"] = True
            self._body = tag("div", "drawer-body")
        self._box.set_visibility(False)

    def open(self, title: str) -> ui.element:
        """Shows it empty; fill what is returned."""
        self._title.set_text(title)
        self._box.props["aria-label"] = title
        self._body.clear()
        self._box.set_visibility(True)
        return self._body

    def close(self) -> None:
        if self._box.visible:
            self._box.set_visibility(False)
            self._on_close()
