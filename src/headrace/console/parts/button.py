"""Buttons: one primary on a page, the rest quiet. Called by pages and parts.

Decides how a button looks in each kind and that it cannot be pressed twice while its action runs.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

from nicegui import ui

from headrace.console.parts.icon import icon
from headrace.console.parts.tag import tag, text
from headrace.console.visit import Visit


def button(label: str, on_click: Callable[[], Any], *, kind: str = "", icon_name: str = "") -> ui.element:
    """`kind` is any of primary, danger, solid, ghost, small, in one string."""
    element = tag("button", f"btn {kind}", type="button")

    async def press() -> None:
        element.props["disabled"] = True
        try:
            result = on_click()
            if inspect.iscoroutine(result):  # not any awaitable: NiceGUI dialogs are, and open again
                await result
        finally:
            if not element.is_deleted:
                del element.props["disabled"]

    element.on("click", press, args=[])
    with element:
        if icon_name:
            icon(icon_name)
        text("span", "", label)
    return element


def icon_button(label: str, on_click: Callable[[], Any], *, icon_name: str, kind: str = "ghost") -> ui.element:
    """Only an icon; the label is its tooltip and its name for screen readers."""
    element = tag("button", f"btn icon {kind}", type="button", title=label, aria_label=label)
    element.on("click", on_click, args=[])
    with element:
        icon(icon_name)
    return element


def copy_button(visit: Visit, label: str, content: str | Callable[[], str], *, kind: str = "ghost small") -> ui.element:
    """Copies in the browser, where the gesture is; says so on the button itself."""
    element = tag("button", f"btn {kind}", type="button", title=visit.say("part.copy", what=label))
    if callable(content):
        make = content
        element.on("click", lambda: _copy(element, make()), args=[])
    else:
        element.on("click", js_handler=f"(e) => copyText({json.dumps(content)}, e.currentTarget)")
    with element:
        icon("copy", "when-idle")
        icon("check", "when-copied")
        text("span", "when-idle", label)
        text("span", "when-copied", visit.say("part.copied"))
    return element


def _copy(element: ui.element, content: str) -> None:
    ui.run_javascript(f"copyText({json.dumps(content)}, document.getElementById({json.dumps(element.html_id)}))")
