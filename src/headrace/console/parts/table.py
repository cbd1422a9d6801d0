"""A table: columns, and rows of cells that are patched in place. Called by pages.

Decides the few things a cell can show. Ignores sorting and filtering: pages ask for rows in the order they are read,
and filters live in the URL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui

from headrace.console.parts.frame import role_mark
from headrace.console.parts.icon import svg

Cell = dict[str, Any]
Row = dict[str, Any]


class Table(ui.element, component="table.js"):
    """`on_pick` gets a row's id. Rows need a unique `id`; the other keys are cells by column name."""

    def __init__(
        self,
        columns: Sequence[dict[str, str]],
        *,
        label: str,
        on_pick: Callable[[str], Any] | None = None,
        links: bool = False,
    ) -> None:
        super().__init__()
        self.props["columns"] = list(columns)
        self.props["rows"] = []
        self.props["label"] = label
        self.props["clickable"] = links or on_pick is not None
        if on_pick is not None:
            self.on("pick", lambda event: on_pick(str(event.args)))

    def show(self, rows: list[Row]) -> None:
        if self.props["rows"] != rows:
            self.props["rows"] = rows

    def choose(self, row_id: str) -> None:
        if self.props.get("chosen") != row_id:
            self.props["chosen"] = row_id


def column(name: str, label: str, *, end: bool = False, wide_only: bool = False, grow: bool = False) -> dict[str, str]:
    """`end` aligns numbers; `wide_only` drops the column on a narrow screen; `grow` lets text wrap."""
    classes = [word for word, on in (("end num", end), ("wide-only", wide_only), ("grow", grow)) if on]
    return {"name": name, "label": label, "classes": " ".join(classes)}


def cell(content: str, *, sub: str = "", tone: str = "", href: str = "", title: str = "", classes: str = "") -> Cell:
    """Text, with a fainter second text beside it."""
    made: Cell = {"text": content, "classes": " ".join(filter(None, (f"text-{tone}" if tone else "", classes)))}
    return made | {key: value for key, value in (("sub", sub), ("href", href), ("title", title)) if value}


def badge_cell(word: str, *, tone: str = "", icon_name: str = "") -> Cell:
    made = cell(word, classes=f"badge {f'tone-{tone}' if tone else ''}")
    return made | ({"icon": svg(icon_name)} if icon_name else {})


def variant_cell(name: str, role: str, *, sub: str = "") -> Cell:
    return cell(name, sub=sub) | {"dot": role_mark(role)}


def time_cell(at: float) -> Cell:
    return {"text": "", "at": at} if at else cell("–")


def bar_cell(part: float, label: str, *, tone: str = "unknown") -> Cell:
    return cell(label) | {"bar": round(min(max(part, 0.0), 1.0), 4), "tone": tone}


def pixel_cell(alphas: list[float], side: int) -> Cell:
    return {"text": "", "pixels": alphas, "side": side}
