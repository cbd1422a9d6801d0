"""Times: relative, with the absolute time in the reader's own zone on hover. The browser knows the zone, so it writes.

Called by parts and pages. See tell() in gestures.js.
"""

from __future__ import annotations

from nicegui import ui

from headrace.console.parts.tag import tag


class When(ui.element):
    """`2 min ago`. `at` is in seconds since the epoch; 0 shows nothing."""

    def __init__(self, at: float, classes: str = "") -> None:
        super().__init__("time")
        self.classes(f"nowrap {classes}")
        self.show(at)

    def show(self, at: float) -> None:
        if self.props.get("data-at") != at:
            self.props["data-at"] = at


def when(at: float, classes: str = "") -> ui.element:
    return tag("time", f"nowrap {classes}", data_at=at)
