"""The loop of a flywheel: stations on a ring, each with its count; on a narrow screen one below the other.

Called by the flywheel's page. Decides where a station stands and how its state looks: colour, a mark, and words. What a
count means is the page's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import cos, pi, sin

from headrace.console.parts.tag import markup, tag, text

WIDTH, HEIGHT, ACROSS, DOWN = 900.0, 400.0, 300.0, 140.0
BESIDE = 0.7  # from there on, as a part of the width, words stand beside their station
MARKS = {"done": "✓", "now": "●", "failed": "✗", "next": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """`state` is done, now, failed or next."""

    title: str
    count: str
    state: str = "next"


class Ring:
    def __init__(self, label: str) -> None:
        self._label = label
        self._shown: tuple[tuple[Station, ...], str] = ((), "")
        self._drawing = markup("", "ring wide-only", "div")
        self._list = tag("ol", "ring-list")

    def show(self, stations: Sequence[Station], middle: str) -> None:
        wanted = (tuple(stations), middle)
        if wanted == self._shown:
            return
        self._shown = wanted
        self._drawing.set_content(drawn(stations, middle, self._label))
        self._list.clear()
        with self._list:
            for station in stations:
                with tag("li", f"ring-{station.state}"):
                    text("span", "soft", f"{station.title} {MARKS[station.state]}".strip())
                    text("b", "num", station.count)


def drawn(stations: Sequence[Station], middle: str, label: str) -> str:
    """As SVG; every text is escaped."""
    places = [_place(number, len(stations)) for number in range(len(stations))]
    told = "; ".join(f"{each.title} {each.count}" for each in stations)
    parts = [
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(f"{label}: {told}")}">',
        f'<ellipse class="ring-path" cx="{WIDTH / 2:g}" cy="{HEIGHT / 2:g}" rx="{ACROSS:g}" ry="{DOWN:g}"/>',
        f'<text class="ring-middle" x="{WIDTH / 2:g}" y="{HEIGHT / 2:g}">{escape(middle)}</text>',
    ]
    for station, (x, y) in zip(stations, places, strict=True):
        beside, anchor, first = _words(x, y)
        at = f'x="{beside:.1f}" style="text-anchor: {anchor}"'
        parts.append(
            f'<g class="ring-{station.state}"><circle cx="{x:.1f}" cy="{y:.1f}" r="13"/>'
            f'<text class="ring-mark" x="{x:.1f}" y="{y:.1f}">{MARKS[station.state]}</text>'
            f'<text class="ring-title" {at} y="{first:.1f}">{escape(station.title)}</text>'
            f'<text class="ring-count" {at} y="{first + 17:.1f}">{escape(_short(station.count))}</text></g>'
        )
    return "".join([*parts, "</svg>"])


def _place(number: int, count: int) -> tuple[float, float]:
    """Clockwise, beginning on the left."""
    angle = pi + 2 * pi * number / count
    return WIDTH / 2 + ACROSS * cos(angle), HEIGHT / 2 + DOWN * sin(angle)


def _words(x: float, y: float) -> tuple[float, str, float]:
    """Where a station's words begin, how they are anchored, and the height of the first: outside of the ring."""
    if abs(x - WIDTH / 2) > ACROSS * BESIDE:
        left = x < WIDTH / 2
        return x + (-22 if left else 22), "end" if left else "start", y - 8
    return x, "middle", y + (30 if y >= HEIGHT / 2 else -38)


def _short(words: str) -> str:
    return words if len(words) <= 26 else words[:25] + "…"
