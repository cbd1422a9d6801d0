"""Plain HTML elements with text, class and attributes; what every other part is built from.

Called by parts and pages. Decides nothing but that we use native elements, not Quasar's, where HTML has one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

E = TypeVar("E", bound=ui.element)
VALUE_OF_TARGET = "(event) => emit(event.target.value)"


def tag(name: str, classes: str = "", **attributes: object) -> ui.element:
    """An empty element, to be filled with `with`. `data_go="e"` becomes the attribute data-go."""
    return _dress(ui.element(name), classes, attributes)


def text(name: str, classes: str, content: str, **attributes: object) -> TextElement:
    """An element that holds text; `.set_text` changes it in place."""
    return _dress(TextElement(tag=name, text=content), classes, attributes)


def markup(html: str, classes: str = "", name: str = "span") -> ui.html:
    """HTML that we wrote ourselves, such as an icon. Never pass what a person or a model sent without escaping."""
    return ui.html(html, sanitize=False, tag=name).classes(classes)


def link(address: str, classes: str = "", **attributes: object) -> ui.element:
    """A link inside the console (the shell swaps the page) or, with `target="_blank"`, out of it."""
    return tag("a", classes, href=address, **attributes)


def choice(
    options: dict[str, str], chosen: str, on_change: Callable[[str], Any], *, label: str, classes: str = ""
) -> ui.element:
    """A native select: options by value."""
    with tag("label", f"field {classes}") as field:
        text("span", "sr", label)
        select = tag("select", "", aria_label=label)
        select.on("change", lambda event: on_change(str(event.args)), js_handler=VALUE_OF_TARGET)
        with select:
            for value, title in options.items():
                text("option", "", title, value=value, selected=value == chosen or None)
        markup('<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 9.5l6 6 6-6"/></svg>', "ico")
    return field


def _dress(element: E, classes: str, attributes: dict[str, object]) -> E:
    if classes:
        element.classes(classes)
    for name, value in attributes.items():
        if value is not None:
            element.props[name.rstrip("_").replace("_", "-")] = value
    return element
