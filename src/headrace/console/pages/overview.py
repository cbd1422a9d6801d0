"""Overview: what runs, how it does, what is being released. The first page.

Called by the shell. Decides nothing: reads endpoints, releases and live figures, and composes parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nicegui import ui

from headrace.console.parts import numbers
from headrace.console.parts.chart import Axis, Chart, Line
from headrace.console.parts.empty import empty
from headrace.console.parts.figures import markers_of, sum_of, total_lines, traffic_of
from headrace.console.parts.frame import Stat, page_head, panel, problem
from headrace.console.parts.icon import icon
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.progress import step_views
from headrace.console.parts.states import phase_cell
from headrace.console.parts.table import Cell, Row, Table, bar_cell, cell, column, time_cell, variant_cell
from headrace.console.parts.tag import link, tag, text
from headrace.console.parts.traffic import Stepper
from headrace.console.sentences import (
    RECENT,
    Traffic,
    current_share,
    say_overview,
    say_status,
    taken,
    why_now,
)
from headrace.console.visit import Visit
from headrace.console.waits import step_title
from headrace.store import endpoints, releases
from headrace.types.endpoint import Endpoint
from headrace.types.release import Release
from headrace.types.strategy import StepKind
from headrace.types.traffic import BUCKETS

if TYPE_CHECKING:
    from headrace.control.services import Services

RECENT_RELEASES = 5
STATUS_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    endpoints: tuple[Endpoint, ...]
    active: tuple[Release, ...]
    recent: tuple[Release, ...]
    traffic: dict[str, Traffic]
    lines: tuple[Line, ...]
    now: float


def load(services: Services, names: tuple[str, str] = ("calls", "errors")) -> Overview:
    with services.database.read() as conn:
        found = endpoints.all(conn)
        active, recent = releases.active(conn), releases.recent(conn, limit=RECENT_RELEASES)
    return Overview(
        endpoints=tuple(found),
        active=tuple(active),
        recent=tuple(recent),
        traffic={e.name: traffic_of(services, e.name) for e in found},
        lines=total_lines(services, [e.name for e in found], seconds=RECENT, names=names),
        now=services.clock.now(),
    )


async def show(visit: Visit) -> None:
    ui.page_title(f"{visit.say('overview.title')} · Headrace")
    names = (visit.say("overview.calls"), visit.say("figure.errors"))
    data = await first_look(lambda: load(visit.services, names))
    if data is None:
        return
    page = _Page(visit, data)
    keep_fresh(lambda: load(visit.services, names), page.show)
    keep_fresh(visit.services.status, page.show_status, seconds=STATUS_SECONDS, at_once=True)


class _Page:
    def __init__(self, visit: Visit, data: Overview) -> None:
        self._visit = visit
        said = say_overview(visit, data.endpoints, sum_of(list(data.traffic.values())), known(data))
        self._head = page_head(visit.say("overview.title"), said.text, tone=said.tone)
        self._notices = tag("div", "stack stack-8 notices")
        self._told: list[str] = []
        self._empty = not data.endpoints
        if self._empty:
            _nothing_yet(visit)
            return
        with self._head.acts, link("/endpoints", "btn primary"):
            text("span", "", visit.say("overview.open_endpoints"))
        self._going: dict[str, Stepper] = {}
        with tag("div", "stack"):
            self._draw_stats()
            self._releasing_now = tag("div", "stack")
            with panel(visit.say("chart.rate")) as box:
                self._chart = Chart(visit, visit.say("chart.rate"), box)
            self._draw_tables()
        self.show(data)

    def _draw_stats(self) -> None:
        say = self._visit.say
        with tag("div", "stats"):
            self._rate = Stat(say("figure.rate"))
            self._errors = Stat(say("figure.errors"))
            self._p50 = Stat(say("figure.p50"))
            self._p99 = Stat(say("figure.p99"))
            self._releasing = Stat(say("overview.in_flight"))

    def _draw_tables(self) -> None:
        say = self._visit.say
        with panel(say("place.endpoints"), flush=True):
            columns = [
                column("name", say("column.endpoint")),
                column("baseline", say("column.serves")),
                column("candidate", say("column.candidate"), wide_only=True),
                column("rate", say("figure.rate"), end=True),
                column("errors", say("figure.errors"), end=True),
                column("p50", say("figure.p50"), end=True, wide_only=True),
                column("p99", say("figure.p99"), end=True),
            ]
            self._endpoints = Table(columns, label=say("place.endpoints"), links=True)
        with panel(say("overview.releases"), flush=True):
            columns = [
                column("endpoint", say("column.endpoint")),
                column("candidate", say("column.candidate")),
                column("phase", say("column.phase")),
                column("share", say("column.share"), wide_only=True),
                column("reason", say("column.reason"), grow=True, wide_only=True),
                column("time", say("column.started"), end=True),
            ]
            self._releases = Table(columns, label=say("overview.releases"), links=True)
            self._no_release = text("p", "faint", say("overview.no_release")).style("padding: 16px")

    def show(self, data: Overview) -> None:
        if self._empty:
            if data.endpoints:
                ui.navigate.reload()
            return
        total = sum_of(list(data.traffic.values()))
        said = say_overview(self._visit, data.endpoints, total, known(data))
        self._head.sentence.show(said.text, said.tone)
        self._show_stats(total, data)
        self._show_going(data)
        since = data.now - RECENT
        markers = markers_of(data.recent, since, named=True)
        self._chart.show(
            data.lines, markers=markers, axis=Axis(unit="/s", whole=True, since=since, until=data.now, room=0.1)
        )
        self._endpoints.show([_endpoint_row(e, data.traffic[e.name]) for e in data.endpoints])
        self._releases.show([release_row(self._visit, r) for r in data.recent])
        self._no_release.set_visibility(not data.recent)

    def show_status(self, status: dict[str, Any]) -> None:
        """Parts of the platform that do not work, above everything else."""
        told = say_status(self._visit, status)
        if told == self._told:
            return
        self._told = told
        self._notices.clear()
        with self._notices:
            for notice in told:
                problem(notice)

    def _show_going(self, data: Overview) -> None:
        """One panel for each release in flight; they are drawn anew only when another one is."""
        visit, active = self._visit, {release.id: release for release in data.active}
        if self._going.keys() != active.keys():
            self._going = {}
            self._releasing_now.clear()
            with self._releasing_now:
                for release in data.active:
                    title = visit.say("release.title", endpoint=release.endpoint, candidate=release.candidate)
                    with panel(title) as box:
                        self._going[release.id] = Stepper(step_views(visit, release, data.now))
                        with box.head, link(f"/releases/{release.id}", "btn ghost small push"):
                            text("span", "", visit.say("overview.evidence"))
                            icon("right")
        for release_id, stepper in self._going.items():
            stepper.show(step_views(visit, active[release_id], data.now))
        self._releasing_now.set_visibility(bool(active))

    def _show_stats(self, total: Traffic, data: Overview) -> None:
        visit, say = self._visit, self._visit.say
        self._rate.show(numbers.rate(total.rate), unit=say("unit.per_second"), note=say("figure.last_seconds"))
        share = numbers.percent(total.errors, total.calls)
        note = say("figure.of_calls", calls=self._visit.count("calls", total.calls))
        self._errors.show(share, note=note, tone="bad" if total.errors else "")
        for stat, value in ((self._p50, total.p50_ms), (self._p99, total.p99_ms)):
            figure, unit = numbers.milliseconds_parts(value)
            stat.show(figure, unit=unit, note=say("figure.slowest" if len(data.endpoints) > 1 else "figure.recent"))
        active = data.active[0] if data.active else None
        note = (
            f"{active.endpoint} {active.candidate} · {step_title(visit, active.current)}"
            if active
            else say("overview.calm")
        )
        self._releasing.show(str(len(data.active)), note=note)


def known(data: Overview) -> list[Release]:
    """All that go on, also old ones, and what has just ended."""
    return [*data.active, *(release for release in data.recent if release.phase.ended)]


def _endpoint_row(endpoint: Endpoint, traffic: Traffic) -> Row:
    policy = endpoint.policy
    return {
        "id": endpoint.name,
        "name": cell(endpoint.name, href=f"/endpoints/{endpoint.name}"),
        "baseline": variant_cell(policy.baseline, "baseline"),
        "candidate": variant_cell(policy.candidate, "candidate", sub=numbers.share(policy.share))
        if policy.candidate
        else cell(numbers.NOTHING),
        "rate": cell(numbers.rate(traffic.rate), sub="/s"),
        "errors": cell(numbers.percent(traffic.errors, traffic.calls), tone="bad" if traffic.errors else ""),
        "p50": cell(numbers.milliseconds(traffic.p50_ms)),
        "p99": cell(numbers.milliseconds(traffic.p99_ms)),
    }


def release_row(visit: Visit, release: Release) -> Row:
    """Also used by the list of releases."""
    return {
        "id": release.id,
        "endpoint": cell(release.endpoint, href=f"/releases/{release.id}", sub=_others(release)),
        "baseline": variant_cell(release.baseline, "baseline"),
        "candidate": variant_cell(release.candidate, "candidate"),
        "phase": phase_cell(visit, release),
        "share": _share_cell(visit, release),
        "reason": cell(why_now(visit, release, visit.now()), classes="soft"),
        "time": time_cell(release.created),
        "took": cell(numbers.duration(taken(release, visit.now()))),
        "actor": cell(release.actor),
    }


def _others(release: Release) -> str:
    """How many more endpoints it moves."""
    return f"+ {len(release.others)}" if release.others else ""


def _share_cell(visit: Visit, release: Release) -> Cell:
    """With the kind of the step, where that is no share."""
    share = current_share(release)
    said = bar_cell(share / BUCKETS, numbers.share(share), tone="candidate")
    if release.phase.ended or release.current.kind is StepKind.SHARE:
        return said
    return said | {"sub": step_title(visit, release.current)}


def _nothing_yet(visit: Visit) -> None:
    say = visit.say
    with tag("div", "panel"):
        empty(
            visit,
            icon_name="endpoints",
            title=say("overview.empty"),
            will=[say("overview.will_1"), say("overview.will_2"), say("overview.will_3")],
            hint=say("overview.empty_hint"),
            commands=["headrace deploy models:/digits/1 --endpoint digits"],
        )
