"""Charts over time: one look for all, a shared cursor, release steps as markers, a table and a CSV of the same numbers.

Called by the endpoint and release pages. `options` is pure: lines and markers in, ECharts options out.
Decides how a line, a marker and a threshold are drawn; colours are the tokens of theme.py, read when drawn, so that a
chart follows the light or dark mode by itself.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from nicegui import ui

from headrace.console.parts.button import icon_button
from headrace.console.parts.frame import Panel, role_mark
from headrace.console.parts.table import Table, cell, column
from headrace.console.parts.tag import tag, text
from headrace.console.visit import Visit

Point = tuple[float, float | None]  # seconds since the epoch, value; None is a gap
SMALLEST = 1e-3  # what a log axis shows at least
POWERS = 'v => Math.log10(v) % 1 ? "" : v >= 1e6 ? v.toExponential(0) : v >= 1000 ? v / 1000 + " k" : v'


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    name: str
    token: str  # a colour of theme.MARKS
    points: Sequence[Point]
    dash: str | tuple[int, ...] = "solid"
    area: bool = False
    named: bool = False  # write the name at the line's end
    legend: str = ""  # what the legend calls it; lines of one legend stand there once


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    time: float
    label: str
    token: str = "candidate"  # noqa: S105 - a colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    unit: str = ""  # in the tooltip; the title of the chart says it too
    whole: bool = False  # counts: no ticks between whole numbers
    log: bool = False
    thresholds: tuple[tuple[float, str], ...] = ()  # values drawn as lines, with their labels
    since: float = 0.0  # the time range; 0: that of the lines
    until: float = 0.0
    room: float = 0.17  # part of the time range that a marker's label takes


class Chart:
    """Inside a panel: give its head, and show lines as they come."""

    def __init__(self, visit: Visit, title: str, box: Panel, *, tall: bool = False, note: str = "") -> None:
        self._visit, self._title, self._note = visit, title, note
        self._lines: Sequence[Line] = ()
        with box.head, tag("div", "row-flex push").style("gap: 0"):
            icon_button(visit.say("chart.table"), self._open_table, icon_name="rows", kind="ghost small")
            icon_button(visit.say("chart.csv"), self._download, icon_name="download", kind="ghost small")
        self._legend = tag("div", "legend")
        self._chart = ui.echart(options((), (), Axis())).classes(replace=f"chart {'tall' if tall else ''}")
        self._chart.props["role"], self._chart.props["aria-label"] = "img", title
        self._share_cursor()

    def show(self, lines: Sequence[Line], *, markers: Sequence[Marker] = (), axis: Axis) -> None:
        if [line.name for line in lines] != [line.name for line in self._lines]:
            self._name(lines)
        self._lines = lines
        self._chart.props["options"] = options(lines, markers, axis)

    def _name(self, lines: Sequence[Line]) -> None:
        self._legend.clear()
        entries = {line.legend or line.name: line.token for line in lines if not line.named}
        with self._legend:
            for name, token in entries.items():
                with tag("span"):
                    tag("i", f"dot {role_mark(token)}")
                    text("span", "", name)
            if self._note:
                text("span", "faint", self._note)

    def _share_cursor(self, group: str = "page") -> None:
        """Charts of one group share their cursor."""
        ui.run_javascript(
            f"import('nicegui-echart').then(({{ echarts }}) => {{ const join = (left) => {{ "
            f"const chart = getElement({self._chart.id})?.chart; "
            f"if (chart) {{ chart.group = {json.dumps(group)}; echarts.connect({json.dumps(group)}); }} "
            f"else if (left) setTimeout(() => join(left - 1), 100); }}; join(50); }})"
        )

    def _open_table(self) -> None:
        say = self._visit.say
        times, rows = table(self._lines)
        with ui.dialog() as dialog, tag("div", "dialog wide"):
            text("h2", "", self._title)
            names = [
                column("time", say("column.time")),
                *(column(line.name, line.name, end=True) for line in self._lines),
            ]
            shown = Table(names, label=self._title)
            shown.show(
                [
                    {"id": str(at), "time": {"text": "", "at": at}}
                    | {line.name: cell(_figure(value)) for line, value in zip(self._lines, values, strict=True)}
                    for at, values in reversed(list(zip(times, rows, strict=True))[-60:])
                ]
            )
        dialog.on("hide", dialog.delete)
        dialog.open()

    def _download(self) -> None:
        ui.download.content(as_csv(self._lines), f"{self._title.lower().replace(' ', '-')}.csv", "text/csv")


def table(lines: Sequence[Line]) -> tuple[list[float], list[list[float | None]]]:
    """The lines on one time scale: all times, and for each the value of every line."""
    times = sorted({at for line in lines for at, _ in line.points})
    values = [dict(line.points) for line in lines]
    return times, [[of_line.get(at) for of_line in values] for at in times]


def as_csv(lines: Sequence[Line]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["time", *(line.name for line in lines)])
    for at, values in zip(*table(lines), strict=True):
        writer.writerow(
            [datetime.fromtimestamp(at, UTC).isoformat(), *("" if v is None else f"{v:.6g}" for v in values)]
        )
    return out.getvalue()


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}"


def options(lines: Sequence[Line], markers: Sequence[Marker], axis: Axis) -> dict[str, Any]:
    return {
        "animation": False,
        "textStyle": {"fontFamily": "inherit", "fontSize": 11},
        "grid": {
            "left": 4,
            "right": 72 if any(line.named for line in lines) else 28,
            "top": 20,
            "bottom": 0,
            "containLabel": True,
        },
        "tooltip": tooltip(axis),
        "axisPointer": {"link": [{"xAxisIndex": "all"}], "lineStyle": ink("line-strong"), "label": {"show": False}},
        "xAxis": _time_axis(axis),
        "yAxis": _value_axis(lines, axis),
        "series": [_marks(markers, axis), *(_series(line, axis) for line in lines)],
    }


def ink(token: str) -> dict[str, str]:
    """A colour that the browser looks up when it draws."""
    return {":color": f"token({json.dumps(token)})"}


def tooltip(axis: Axis) -> dict[str, Any]:
    """Also for bars.py."""
    unit = f" {axis.unit}" if axis.unit else ""
    return {
        "trigger": "axis",
        "confine": True,
        "transitionDuration": 0,
        "padding": [8, 12],
        ":backgroundColor": 'token("raised")',
        ":borderColor": 'token("line-strong")',
        "textStyle": {**ink("ink"), "fontSize": 12},
        "extraCssText": "box-shadow: none; border-radius: 8px; font-variant-numeric: tabular-nums",
        ":valueFormatter": f'v => v == null ? "–" : String(Number(Number(v).toPrecision(3))) + {json.dumps(unit)}',
    }


def _time_axis(axis: Axis) -> dict[str, Any]:
    made = {
        "type": "time",
        "axisLine": {"lineStyle": ink("line-strong")},
        "axisTick": {"show": False},
        "axisLabel": {**ink("ink-faint"), "hideOverlap": True, "fontSize": 11, "formatter": "{HH}:{mm}:{ss}"},
        "splitLine": {"show": False},
        "splitNumber": 4,
    }
    if axis.since:
        made |= {"min": axis.since * 1000}
    if axis.until:
        made |= {"max": axis.until * 1000}
    return made


def _value_axis(lines: Sequence[Line], axis: Axis) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "log" if axis.log else "value",
        "axisLabel": {**ink("ink-faint"), "fontSize": 11},
        "splitLine": {"lineStyle": ink("line")},
        "splitNumber": 3,
    }
    if axis.log:
        values = [v for line in lines for _, v in line.points if v is not None and v > 0]
        low = min([*values, 0.1])
        high = max([*values, *(value * 2 for value, _ in axis.thresholds)], default=1.0)
        made |= {"min": 10 ** _floor_log(max(low, SMALLEST)), "max": min(high * 1.5, 1e7)}
        made["axisLabel"] |= {":formatter": POWERS}
    else:
        made |= {"min": 0, ":max": "(r) => r.max > 0 ? undefined : 1"} | ({"minInterval": 1} if axis.whole else {})
    return made


def _floor_log(value: float) -> int:
    return len(f"{int(value)}") - 1 if value >= 1 else -next(i for i in range(1, 10) if value * 10**i >= 0.999)


def _marks(markers: Sequence[Marker], axis: Axis) -> dict[str, Any]:
    """Markers and the threshold hang on a line of their own, so that they are there before the first point."""
    markers = legible(markers, (axis.until - axis.since) * axis.room)
    lines: list[dict[str, Any]] = [
        {
            "xAxis": m.time * 1000,
            "lineStyle": ink(m.token) | {"type": "dashed", "width": 1},
            "label": {
                "formatter": m.label,
                **ink(f"{m.token}-text"),
                "position": "end",
                "fontSize": 11,
                "distance": 4,
            },
        }
        for m in markers
    ]
    for rank, (value, label) in enumerate(sorted(axis.thresholds, reverse=True)):
        position = "insideStartBottom" if rank else "insideStartTop"  # so that two lines close together can be read
        words = {"formatter": label, "position": position, "fontSize": 12, "fontWeight": "bold"}
        lines.append(
            {
                "yAxis": value,
                "lineStyle": ink("bad") | {"type": "solid", "width": 1.5},
                "label": words | ink("bad-text"),
            }
        )
    return {
        "type": "line",
        "name": "",
        "data": [],
        "silent": True,
        "tooltip": {"show": False},
        "markLine": {"silent": True, "symbol": "none", "animation": False, "data": lines},
    }


def legible(markers: Sequence[Marker], room: float) -> list[Marker]:
    """Of markers so close together that their labels would cover each other, the last one keeps its label."""
    kept: list[Marker] = []
    for marker in sorted(markers, key=lambda m: m.time, reverse=True):
        near = any(other.label and other.time - marker.time < room for other in kept)
        kept.append(replace(marker, label="") if near else marker)
    return kept[::-1]


def _series(line: Line, axis: Axis) -> dict[str, Any]:
    low = SMALLEST if axis.log else None
    made: dict[str, Any] = {
        "type": "line",
        "name": line.name,
        "data": [
            [round(at * 1000), None if v is None else round(max(v, low) if low else v, 4)] for at, v in line.points
        ],
        "showSymbol": False,
        "symbol": "circle",
        "symbolSize": 5,
        "connectNulls": False,
        "itemStyle": ink(line.token),
        "lineStyle": ink(line.token) | {"width": 1.5, "type": line.dash},
        "emphasis": {"focus": "series", "lineStyle": {"width": 2}},
    }
    if line.area:
        made["areaStyle"] = ink(line.token) | {"opacity": 0.1}
    if line.named:
        made["endLabel"] = {
            "show": True,
            "formatter": "{a}",
            **ink(f"{line.token}-text"),
            "fontSize": 11,
            "distance": 6,
        }
        made["labelLayout"] = {"moveOverlap": "shiftY"}
    return made
