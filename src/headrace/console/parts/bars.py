"""Stacked bars by day: what was spent, by whom; with a table and a CSV of the same numbers. Called by the costs page.

`options` is pure. Decides how a stack is drawn; colours are theme.SERIES by rank. Ignores time within a day: that is
chart.py.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from headrace.console.parts.button import icon_button
from headrace.console.parts.chart import Axis, ink, tooltip
from headrace.console.parts.frame import Panel
from headrace.console.parts.table import Table, cell, column
from headrace.console.parts.tag import tag, text
from headrace.console.theme import SERIES
from headrace.console.visit import Visit

TOKENS = tuple(SERIES)  # the last one is for all the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One part of each bar; `values` beside `days`."""

    name: str
    token: str
    values: Sequence[float]


class Bars:
    """Inside a panel: give its head, and show stacks as they come."""

    def __init__(self, visit: Visit, title: str, box: Panel, *, unit: str, file: str) -> None:
        self._visit, self._title, self._unit, self._file = visit, title, unit, file
        self._days: Sequence[str] = ()
        self._stacks: Sequence[Stack] = ()
        with box.head, tag("div", "row-flex push").style("gap: 0"):
            icon_button(visit.say("chart.table"), self._open_table, icon_name="rows", kind="ghost small")
            icon_button(visit.say("chart.csv"), self._download, icon_name="download", kind="ghost small")
        self._legend = tag("div", "legend steady")
        self._chart = ui.echart(options((), (), unit)).classes("chart tall")
        self._chart.props["role"], self._chart.props["aria-label"] = "img", title

    def show(self, days: Sequence[str], stacks: Sequence[Stack]) -> None:
        if (list(days), list(stacks)) == (list(self._days), list(self._stacks)):
            return
        if [stack.name for stack in stacks] != [stack.name for stack in self._stacks]:
            self._name(stacks)
        self._days, self._stacks = days, stacks
        self._chart.props["options"] = options(days, stacks, self._unit)

    def _name(self, stacks: Sequence[Stack]) -> None:
        self._legend.clear()
        with self._legend:
            for stack in stacks:
                with tag("span"):
                    tag("i", f"dot square of-{stack.token}")
                    text("span", "ellipsis-1", stack.name, title=stack.name)

    def _open_table(self) -> None:
        with ui.dialog() as dialog, tag("div", "dialog wide"):
            text("h2", "", self._title)
            names = [column("day", self._visit.say("column.day"))]
            names += [column(f"s{n}", stack.name, end=True) for n, stack in enumerate(self._stacks)]
            Table(names, label=self._title).show(
                [
                    {"id": day, "day": cell(day)}
                    | {f"s{n}": cell(f"{stack.values[at]:,.4g}") for n, stack in enumerate(self._stacks)}
                    for at, day in reversed(list(enumerate(self._days)))
                ]
            )
        dialog.on("hide", dialog.delete)
        dialog.open()

    def _download(self) -> None:
        ui.download.content(as_csv(self._days, self._stacks), f"{self._file}.csv", "text/csv")


def as_csv(days: Sequence[str], stacks: Sequence[Stack]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["day", *(stack.name for stack in stacks)])
    for at, day in enumerate(days):
        writer.writerow([day, *(f"{stack.values[at]:.10g}" for stack in stacks)])
    return out.getvalue()


def options(days: Sequence[str], stacks: Sequence[Stack], unit: str) -> dict[str, Any]:
    """Days are ISO dates; the axis says month and day."""
    return {
        "animation": False,
        "textStyle": {"fontFamily": "inherit", "fontSize": 11},
        "grid": {"left": 4, "right": 8, "top": 12, "bottom": 0, "containLabel": True},
        "tooltip": tooltip(Axis(unit=unit))
        | {"axisPointer": {"type": "shadow", "shadowStyle": {":color": 'token("line")', "opacity": 0.4}}},
        "xAxis": {
            "type": "category",
            "data": list(days),
            "axisLine": {"lineStyle": ink("line-strong")},
            "axisTick": {"show": False},
            "axisLabel": {**ink("ink-faint"), "hideOverlap": True, "fontSize": 11, ":formatter": "v => v.slice(5)"},
        },
        "yAxis": {
            "type": "value",
            "min": 0,
            ":max": "(r) => r.max > 0 ? undefined : 1",
            "axisLabel": {**ink("ink-faint"), "fontSize": 11, ":formatter": _SHORT},
            "splitLine": {"lineStyle": ink("line")},
            "splitNumber": 3,
        },
        "series": [_series(stack) for stack in stacks],
    }


_SHORT = "v => v >= 1e6 ? v / 1e6 + ' M' : v >= 1e4 ? v / 1e3 + ' k' : String(Number(v.toPrecision(3)))"


def _series(stack: Stack) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": stack.name,
        "stack": "all",
        "barMaxWidth": 40,
        "barCategoryGap": "24%",
        "data": [round(value, 6) for value in stack.values],
        "itemStyle": ink(stack.token) | {":borderColor": f"token({json.dumps('surface')})", "borderWidth": 0.5},
        "emphasis": {"focus": "series"},
    }
