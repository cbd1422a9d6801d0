"""The diff explorer of a release: what its shadow would have told people, the worst first, and for whom it differs.

Called by the shell. Decides nothing: release/diff.py reads what the engine has kept. What is chosen stands in the
address, so that a finding can be sent to somebody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from nicegui import ui

from headrace.console.pages.pair import show_pair
from headrace.console.parts import numbers
from headrace.console.parts.drawer import Drawer
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import Stat, page_head, panel
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.table import Row, Table, bar_cell, cell, column, time_cell
from headrace.console.parts.tag import choice, tag, text
from headrace.console.visit import Visit
from headrace.release.diff import Diff, look
from headrace.release.segments import Segment
from headrace.types.call import CallStatus
from headrace.types.pair import Pair, Profile

if TYPE_CHECKING:
    from headrace.control.services import Services

SHOWN = 100
FRESH_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    release: str
    by: str = ""
    value: str = ""

    def address(self, trace: str = "") -> str:
        values = {"by": self.by, "value": self.value, "trace": trace}
        query = urlencode({name: value for name, value in values.items() if value})
        return f"/releases/{self.release}/pairs{f'?{query}' if query else ''}"


def load(services: Services, chosen: Chosen) -> Diff:
    with services.database.read() as conn:
        return look(conn, chosen.release, by=chosen.by, value=chosen.value, limit=SHOWN)


async def show(visit: Visit, id: str, by: str = "", value: str = "", trace: str = "") -> None:  # noqa: A002
    ui.page_title(f"{visit.say('pairs.worst')} · Headrace")
    chosen = Chosen(release=id, by=by, value=value)
    data = await first_look(lambda: load(visit.services, chosen))
    if data is None:
        return
    page = _Page(visit, chosen, data)
    page.show(data)
    if trace:
        await page.open(trace)
    keep_fresh(lambda: load(visit.services, chosen), page.show, seconds=FRESH_SECONDS)


class _Page:
    def __init__(self, visit: Visit, chosen: Chosen, data: Diff) -> None:
        self._visit, self._chosen, say = visit, chosen, visit.say
        self._data = data
        title = say("pairs.title", endpoint=data.endpoint, candidate=data.candidate)
        self._head = page_head(title, "", crumb=(data.release, f"/releases/{data.release}"))
        with tag("div", "stack"):
            with tag("div", "stats"):
                names = ("pairs.compared", "pairs.other", "pairs.moved", "pairs.failed", "pairs.time")
                self._stats = [Stat(say(name)) for name in names]
            if data.columns:
                self._draw_segments(data)
            with tag("div", "grid-side"):
                with panel(say("pairs.worst"), flush=True):
                    self._draw_pairs(data)
                with panel(say("pairs.spread"), flush=True):
                    self._draw_spread(data)
        self._drawer = Drawer(visit, self._closed)

    # --- drawing once

    def _draw_segments(self, data: Diff) -> None:
        say = self._visit.say
        with panel(say("pairs.where"), flush=True) as box:
            with box.head:
                options = {"": say("pairs.choose"), **{name: name for name in data.columns}}
                choice(options, self._chosen.by, lambda by: self._go(by=by), label=say("pairs.by"), classes="push")
            columns = [
                column("value", say("column.segment"), grow=True),
                column("pairs", say("column.pairs"), end=True),
                column("rate", say("column.other"), end=True),
                column("bar", "", wide_only=True),
                column("change", say("column.change"), end=True, wide_only=True),
            ]
            self._segments = Table(columns, label=say("pairs.where"), on_pick=self._pick)
            hint = say("pairs.sample_hint", n=self._visit.count("pairs", data.sampled))
            text("p", "faint small", hint).style("padding: 8px 16px")

    def _draw_pairs(self, data: Diff) -> None:
        say = self._visit.say
        columns = [
            column("time", say("column.time")),
            column("baseline", data.baseline),
            column("candidate", data.candidate),
            column("what", say("column.differs"), grow=True, wide_only=True),
            column("moved", say("column.moved"), end=True),
        ]
        self._pairs = Table(columns, label=say("pairs.worst"), on_pick=self.open)
        with tag("div") as self._none:
            empty(self._visit, icon_name="releases", title=say("pairs.same"), hint=say("pairs.same_hint"))

    def _draw_spread(self, data: Diff) -> None:
        columns = [
            column("bin", self._visit.say("column.bin"), grow=True),
            column("baseline", data.baseline, end=True),
            column("candidate", data.candidate, end=True),
        ]
        self._spread = Table(columns, label=self._visit.say("pairs.spread"))
        self._psi = text("p", "faint small", "").style("padding: 8px 16px")

    # --- showing what there is now

    def show(self, data: Diff) -> None:
        self._data = data
        self._show_sentence(data)
        self._show_figures(data)
        if data.columns and data.by:
            self._segments.show([_segment_row(segment) for segment in data.segments])
            self._segments.choose(data.value)
        self._pairs.show([_pair_row(self._visit, pair) for pair in data.pairs])
        self._none.set_visibility(not data.pairs)
        self._spread.show(_bins(self._visit, data.profile))
        psi = data.figures.psi
        self._psi.set_text("" if psi is None else self._visit.say("pairs.psi", psi=f"{psi:.3f}"))

    def _show_sentence(self, data: Diff) -> None:
        figures, limit = data.figures, data.tolerance or 0.0
        if figures.flip_rate is None:
            self._head.sentence.show(self._visit.say("pairs.none_yet"))
            return
        words = self._visit.say(
            "pairs.sentence",
            rate=_percent(figures.flip_rate),
            n=self._visit.count("answers", figures.pairs),
            limit=_percent(limit),
        )
        self._head.sentence.show(words, "bad" if figures.flip_rate > limit else "good")

    def _show_figures(self, data: Diff) -> None:
        say, figures = self._visit.say, data.figures
        compared, other, moved, failed, time = self._stats
        missing = say("pairs.lost", lost=numbers.count(figures.lost), dropped=numbers.count(figures.dropped))
        compared.show(numbers.count(figures.pairs), note=missing)
        bad = figures.flip_rate is not None and figures.flip_rate > (data.tolerance or 0.0)
        limit = say("pairs.limit", limit=_percent(data.tolerance))
        other.show(_percent(figures.flip_rate), note=limit, tone="bad" if bad else "")
        moved.show(_percent(figures.deviating_rate), note=say("pairs.overlap", share=_percent(figures.overlap)))
        refused = say("pairs.refused", n=numbers.count(figures.refused)) if figures.refused else ""
        failed.show(
            numbers.count(figures.candidate_errors), note=refused, tone="bad" if figures.candidate_errors else ""
        )
        number, unit = numbers.milliseconds_parts(figures.candidate_p50_ms)
        before = numbers.milliseconds(figures.baseline_p50_ms)
        time.show(number, unit=unit, note=say("pairs.before", name=data.baseline, time=before))

    # --- choosing

    def _go(self, **changed: str) -> None:
        ui.navigate.to(replace(self._chosen, **{"value": "", **changed}).address())

    def _pick(self, value: str) -> None:
        """Of a segment; once more takes the choice back."""
        self._go(value="" if value == self._chosen.value else value)

    async def open(self, trace_id: str) -> None:
        pair = next((one for one in self._data.pairs if one.trace_id == trace_id), None)
        if pair is None:
            return
        self._pairs.choose(trace_id)
        ui.navigate.history.replace(self._chosen.address(trace_id))
        await show_pair(self._visit, self._drawer.open(trace_id), pair, self._data)

    def _closed(self) -> None:
        self._pairs.choose("")
        ui.navigate.history.replace(self._chosen.address())


def _segment_row(segment: Segment) -> Row:
    interval = f"{_percent(segment.low)} – {_percent(segment.high)}"
    return {
        "id": segment.value,
        "value": cell(segment.value),
        "pairs": cell(numbers.count(segment.pairs)),
        "rate": cell(_percent(segment.rate), sub=interval),
        "bar": bar_cell(segment.rate, "", tone="bad"),
        "change": cell(_percent(segment.deviation)),
    }


def _pair_row(visit: Visit, pair: Pair) -> Row:
    found = pair.difference
    said = visit.name("status", CallStatus.FAILED) if pair.error else _brief(pair.candidate_output)
    moved = max(found.deviation, found.distance)
    return {
        "id": pair.trace_id,
        "time": time_cell(pair.time),
        "baseline": cell(_brief(pair.baseline_output)),
        "candidate": cell(said, tone="bad" if found.flips or pair.error else ""),
        "what": cell(pair.error or found.what, title=pair.error or found.what),
        "moved": cell(_percent(moved) if moved else numbers.NOTHING),
    }


def _bins(visit: Visit, profile: Profile) -> list[Row]:
    names = list(profile.labels) or [f"< {edge:g}" for edge in profile.edges]
    if names:
        names.append(visit.say("pairs.others") if profile.labels else f"≥ {profile.edges[-1]:g}")
    before, after = sum(profile.baseline), sum(profile.candidate)
    return [
        {
            "id": name,
            "bin": cell(name),
            "baseline": cell(numbers.percent(a, before)),
            "candidate": cell(numbers.percent(b, after)),
        }
        for name, a, b in zip(names, profile.baseline, profile.candidate, strict=True)
        if a or b
    ]


def _percent(share: float | None) -> str:
    return numbers.NOTHING if share is None else numbers.percent(share, 1.0)


def _brief(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(numbers.scalar(each) for each in value[:3]) + ("…" if len(value) > 3 else "")
    return numbers.scalar(value)
