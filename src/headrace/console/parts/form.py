"""Fields of a form: a line, some lines, one of a few, cards to choose from; each with room for what is wrong with it.

Called by pages on which something is written. Decides that an error stands at its field, and that a change counts when
the person leaves the field (`change`), not at every key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from headrace.console.parts.tag import VALUE_OF_TARGET, choice, tag, text

Change = Callable[[str], Any]


class Field:
    """What is wrong is said below it."""

    def __init__(self, label: str, *, hint: str = "", classes: str = "") -> None:
        with tag("div", f"form-field {classes}") as self.box:
            with tag("label", "labelled") as self.inner:
                text("span", "label", label)
            if hint:
                text("p", "faint small", hint)
            self._wrong = text("p", "wrong", "", role="alert")
        self._wrong.set_visibility(False)

    def blame(self, words: str) -> None:
        self._wrong.set_text(words)
        self._wrong.set_visibility(bool(words))
        self.box.classes(add="is-wrong" if words else "", remove="" if words else "is-wrong")


def line(
    label: str, value: str, change: Change, *, hint: str = "", placeholder: str = "", known: Sequence[str] = ()
) -> Field:
    """`known`: values that the browser offers."""
    field = Field(label, hint=hint)
    with field.inner, tag("span", "field"):
        names = f"known-{field.box.id}" if known else None
        box = tag("input", "", type="text", defaultValue=value, placeholder=placeholder or None, list=names)
        box.on("change", lambda event: change(str(event.args or "")), js_handler=VALUE_OF_TARGET)
        if names:
            with tag("datalist", "", id=names):
                for each in known:
                    tag("option", "", value=each)
    return field


def lines(label: str, value: str, change: Change, *, rows: int = 3, hint: str = "", classes: str = "") -> Field:
    field = Field(label, hint=hint)
    with field.inner:
        box = tag("textarea", f"prose-field {classes}", rows=rows, defaultValue=value)
        box.on("change", lambda event: change(str(event.args or "")), js_handler=VALUE_OF_TARGET)
    return field


def one_of(label: str, options: Mapping[str, str], chosen: str, change: Change, *, hint: str = "") -> Field:
    field = Field(label, hint=hint)
    with field.inner:
        choice(dict(options), chosen, change, label=label)
    return field


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One thing to choose. `notes`: (what, words), such as what it needs and costs."""

    value: str
    title: str
    sentence: str
    notes: tuple[tuple[str, str], ...] = ()


def cards(label: str, offered: Sequence[Card], chosen: str, change: Change, *, classes: str = "") -> ui.element:
    """Radio buttons: arrow keys go through them."""
    with tag("div", f"cards {classes}", role="radiogroup", aria_label=label) as group:
        for card in offered:
            with tag("label", "card"):
                checked = True if card.value == chosen else None
                dot = tag(
                    "input", "", type="radio", name_=f"cards-{group.id}", value=card.value, defaultChecked=checked
                )
                dot.on("change", lambda event: change(str(event.args)), js_handler=VALUE_OF_TARGET)
                with tag("span", "stack stack-4"):
                    text("b", "", card.title)
                    text("span", "soft small", card.sentence)
                    for what, words in card.notes:
                        with tag("span", "small"):
                            text("span", "faint", f"{what} ")
                            text("span", "", words)
    return group
