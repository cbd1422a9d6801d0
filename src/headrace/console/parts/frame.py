"""The frame of a page: head with title, sentence and actions; panels; figures; badges. Called by every page.

Decides that a page starts with what is happening in one sentence, and where its actions stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from headrace.console.parts.icon import icon
from headrace.console.parts.tag import link, tag, text


class Sentence(TextElement):
    """The one sentence on top. It changes in place."""

    def __init__(self, content: str, tone: str = "") -> None:
        super().__init__(tag="p", text=content)
        self.show(content, tone)

    def show(self, content: str, tone: str = "") -> None:
        self.set_text(content)
        self.classes(replace=f"sentence {f'tone-{tone}' if tone else ''}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    title: ui.element  # to put badges beside the title
    sentence: Sentence
    acts: ui.element


def page_head(title: str, sentence: str, *, tone: str = "", crumb: tuple[str, str] | None = None) -> Head:
    """`crumb` is (label, target) of the page above."""
    with tag("header", "page-head"):
        with tag("div", "titles"):
            if crumb:
                with tag("div", "crumb"), link(crumb[1]):
                    text("span", "", crumb[0])
            with tag("h1") as heading:
                text("span", "", title)
            words = Sentence(sentence, tone)
        acts = tag("div", "acts")
    return Head(title=heading, sentence=words, acts=acts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    head: ui.element
    body: ui.element


@contextmanager
def panel(title: str, *, flush: bool = False, classes: str = "") -> Iterator[Panel]:
    """A bordered box with a heading. `flush` for tables, which bring their own spacing."""
    with tag("section", f"panel {classes}"):
        with tag("div", "panel-head") as head:
            text("h2", "", title)
        with tag("div", f"panel-body {'flush' if flush else ''}") as body:
            yield Panel(head=head, body=body)


class Stat:
    """A figure with its unit and a note beneath: how it compares, what it is of."""

    def __init__(self, label: str) -> None:
        with tag("div", "stat") as self._box:
            text("div", "stat-label", label)
            with tag("div", "stat-value"):
                self._value = text("span", "", "–")
                self._unit = text("span", "unit", "")
            self._note = text("div", "stat-note", "")

    def show(self, value: str, *, unit: str = "", note: str = "", tone: str = "") -> None:
        self._value.set_text(value)
        self._unit.set_text(unit)
        self._note.set_text(note)
        self._box.classes(replace=f"stat {f'tone-{tone}' if tone else ''}")


class Badge:
    """A state as a word with an icon, tinted by its meaning."""

    def __init__(self, word: str, *, tone: str = "", icon_name: str = "") -> None:
        with tag("span") as self._box:
            if icon_name:
                icon(icon_name)
            self._word = text("span", "", word)
        self.show(word, tone=tone)

    def show(self, word: str, *, tone: str = "") -> None:
        self._word.set_text(word)
        self._box.classes(replace=f"badge {f'tone-{tone}' if tone else ''}")

    def set_visible(self, visible: bool) -> None:
        self._box.set_visibility(visible)


def variant_mark(name: str, role: str) -> None:
    """A variant by colour, shape and name. `role`: baseline, candidate, shadow or none."""
    with tag("span", "variant"):
        tag("i", f"dot {role_mark(role)}", aria_hidden="true")
        text("span", "", name)


def role_mark(role: str) -> str:
    shape = {"candidate": "square", "shadow": "diamond"}.get(role, "")
    return f"{shape} role-{role}".strip()


def facts(rows: list[tuple[str, str]]) -> None:
    """Names and values, aligned. A row without a value is left out."""
    with tag("dl", "facts"):
        for name, value in rows:
            if value:
                text("dt", "", name)
                text("dd", "", value)


def problem(message: str) -> ui.element:
    """What went wrong, in the place where the answer would have been."""
    with tag("div", "notice", role="alert") as box:
        icon("warn")
        text("span", "", message)
    return box
