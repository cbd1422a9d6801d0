"""One endpoint: who answers, for whom, how well, and a form to try it.

Called by the shell. Decides nothing: reads the endpoint, its releases and live figures, and composes parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nicegui import ui

from headrace.console.pages.chatting import Chatting
from headrace.console.pages.trying import TryIt
from headrace.console.pages.undoing import UndoButton, find_undo
from headrace.console.parts import numbers
from headrace.console.parts.button import copy_button
from headrace.console.parts.chart import Axis, Chart, Marker
from headrace.console.parts.empty import empty
from headrace.console.parts.figures import Lines, lines_of, markers_of, role_of, traffic_of
from headrace.console.parts.frame import Stat, facts, page_head, panel
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.states import PhaseBadge, stage_cell
from headrace.console.parts.table import Row, Table, bar_cell, cell, column, variant_cell
from headrace.console.parts.tag import link, tag, text
from headrace.console.parts.traffic import Split
from headrace.console.sentences import Traffic, say_endpoint
from headrace.console.visit import Visit
from headrace.release.adapters import told
from headrace.release.undo import Undo
from headrace.store import endpoints, releases, versions
from headrace.types.endpoint import Endpoint, Task, Variant
from headrace.types.model import Stage
from headrace.types.release import Release
from headrace.types.traffic import BUCKETS

if TYPE_CHECKING:
    from headrace.control.services import Services

WINDOW = 240.0  # seconds on the charts
UNDO_SECONDS = 3.0  # between looks for something to take back


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    endpoint: Endpoint
    active: Release | None
    recent: tuple[Release, ...]
    stages: dict[int, Stage]  # by version, as the registry has it now
    traffic: Traffic
    lines: Lines
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """The last move of its traffic; None: there is none that could be taken back."""

    undo: Undo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    known: tuple[str, ...]


def load(services: Services, name: str) -> Found | Missing:
    with services.database.read() as conn:
        endpoint = endpoints.get(conn, name)
        if endpoint is None:
            return Missing(known=tuple(e.name for e in endpoints.all(conn)))
        active = releases.active_for(conn, name)
        recent = tuple(releases.recent(conn, limit=3, endpoint=name))
        stages = {v.version: v.stage for v in versions.all(conn, endpoint.model)}
    return Found(
        endpoint=endpoint,
        active=active,
        recent=recent,
        stages=stages,
        traffic=traffic_of(services, name),
        lines=lines_of(services, name, endpoint.policy, releases=recent, seconds=WINDOW),
        now=services.clock.now(),
    )


async def show(visit: Visit, name: str) -> None:
    ui.page_title(f"{name} · Headrace")
    data = await first_look(lambda: load(visit.services, name))
    if data is None:
        return
    if isinstance(data, Missing):
        known = ", ".join(data.known) or numbers.NOTHING
        empty(visit, icon_name="endpoints", title=visit.say("endpoint.missing", name=name),
              hint=visit.say("endpoint.missing_hint", known=known))  # fmt: skip
        return
    page = _Page(visit, data)
    await page.try_it.start()
    keep_fresh(lambda: load(visit.services, name), page.show)
    keep_fresh(lambda: Last(undo=find_undo(visit.services, name)), page.show_undo, seconds=UNDO_SECONDS, at_once=True)


class _Page:
    def __init__(self, visit: Visit, data: Found) -> None:
        self._visit, say = visit, visit.say
        said = say_endpoint(visit, data.endpoint, data.traffic, data.active)
        self._head = page_head(
            data.endpoint.name, said.text, tone=said.tone, crumb=(say("place.endpoints"), "/endpoints")
        )
        with self._head.title:
            self._phase = PhaseBadge(visit)
        self.try_it = (Chatting if data.endpoint.task is Task.CHAT else TryIt)(visit, data.endpoint)
        with self._head.acts:
            self.try_it.draw_copies()
            self._undo = UndoButton(visit, done=lambda: None)
            self._to_release = link("/releases", "btn primary")
            with self._to_release:
                text("span", "", say("endpoint.open_release"))
        with tag("div", "stack"):
            self._draw_stats()
            self._draw_variants()
            self._draw_charts()
            self.try_it.draw()
            self._draw_settings(data.endpoint.name, chat=data.endpoint.task is Task.CHAT)
        self.show(data)

    def _draw_stats(self) -> None:
        say = self._visit.say
        with tag("div", "stats"):
            self._rate = Stat(say("figure.rate"))
            self._errors = Stat(say("figure.errors"))
            self._p50 = Stat(say("figure.p50"))
            self._p99 = Stat(say("figure.p99"))
            self._revision = Stat(say("column.revision"))

    def _draw_variants(self) -> None:
        say = self._visit.say
        with panel(say("endpoint.split_title"), flush=True):
            with tag("div", "inset"):
                self._split = Split()
            columns = [
                column("name", say("column.variant")),
                column("version", say("column.model_version")),
                column("stage", say("column.stage")),
                column("share", say("column.share")),
                column("rate", say("figure.rate"), end=True),
                column("errors", say("figure.errors"), end=True, wide_only=True),
                column("p99", say("figure.p99"), end=True, wide_only=True),
                column("runtime", say("column.runtime"), wide_only=True),
                column("parity", say("column.parity"), wide_only=True),
            ]
            self._variants = Table(columns, label=say("endpoint.variants"))
        with tag("div") as self._adapters, panel(say("endpoint.adapters")):
            self._steps = tag("div")
        self._adapted: list[tuple[str, str]] = []

    def _draw_charts(self) -> None:
        say = self._visit.say
        with tag("div", "grid-3"):
            with panel(say("chart.rate")) as box:
                self._rate_chart = Chart(self._visit, say("chart.rate"), box)
            with panel(say("chart.errors")) as box:
                self._error_chart = Chart(self._visit, say("chart.errors"), box)
            with panel(say("chart.latency")) as box:
                self._latency_chart = Chart(self._visit, say("chart.latency"), box, note=say("chart.dashes"))

    def _draw_settings(self, name: str, *, chat: bool) -> None:
        say = self._visit.say
        with panel(say("endpoint.settings")) as box:
            with box.head:
                setting = "capture=masked" if chat else "batching.max_batch_size=64"
                command = f"headrace endpoint set {name} {setting} limits.timeout_ms=30000"
                copy_button(self._visit, say("endpoint.copy_set"), command)
            self._settings = tag("div")
        self._settled: list[tuple[str, str]] = []

    def show(self, data: Found | Missing) -> None:
        if isinstance(data, Missing):
            return
        said = say_endpoint(self._visit, data.endpoint, data.traffic, data.active)
        self._head.sentence.show(said.text, said.tone)
        self._phase.show(data.active.phase if data.active else None)
        self._to_release.set_visibility(data.active is not None)
        if data.active:
            self._to_release.props["href"] = f"/releases/{data.active.id}"
        self._show_stats(data)
        self._split.show(data.endpoint.policy)
        self._variants.show([_variant_row(self._visit, data, v) for v in data.endpoint.variants])
        self._show_adapters(adapters_of(self._visit, data.endpoint))
        self._show_charts(data)
        self._show_settings(settings_of(self._visit, data.endpoint))

    def show_undo(self, last: Last) -> None:
        self._undo.show(last.undo)

    def _show_adapters(self, rows: list[tuple[str, str]]) -> None:
        self._adapters.set_visibility(bool(rows))
        if rows != self._adapted:
            self._adapted = rows
            self._steps.clear()
            with self._steps:
                facts(rows)

    def _show_settings(self, rows: list[tuple[str, str]]) -> None:
        if rows != self._settled:
            self._settled = rows
            self._settings.clear()
            with self._settings:
                facts(rows)

    def _show_stats(self, data: Found) -> None:
        say, traffic = self._visit.say, data.traffic
        self._rate.show(numbers.rate(traffic.rate), unit=say("unit.per_second"), note=say("figure.last_seconds"))
        self._errors.show(
            numbers.percent(traffic.errors, traffic.calls),
            note=say("figure.of_calls", calls=self._visit.count("calls", traffic.calls)),
            tone="bad" if traffic.errors else "",
        )
        for stat, value in ((self._p50, traffic.p50_ms), (self._p99, traffic.p99_ms)):
            figure, unit = numbers.milliseconds_parts(value)
            stat.show(figure, unit=unit, note=say("figure.recent"))
        self._revision.show(str(data.endpoint.revision), note=say("figure.revision"))

    def _show_charts(self, data: Found) -> None:
        since = data.now - WINDOW
        markers: list[Marker] = markers_of(data.recent, since)
        for chart, lines, unit in (
            (self._rate_chart, data.lines.rate, "/s"),
            (self._error_chart, data.lines.errors, "/s"),
            (self._latency_chart, data.lines.latency, "ms"),
        ):
            chart.show(lines, markers=markers, axis=Axis(unit=unit, whole=unit == "/s", since=since, until=data.now))


def adapters_of(visit: Visit, endpoint: Endpoint) -> list[tuple[str, str]]:
    """Steps between what callers know and what a variant takes and gives, one a line."""
    rows = []
    for variant in endpoint.variants:
        if variant.adapter is None:
            continue
        sides = (("endpoint.adapter_in", variant.adapter.inputs), ("endpoint.adapter_out", variant.adapter.outputs))
        for side, steps in sides:
            name = visit.say(side, variant=variant.name)
            rows += [(f"{name} {number}", told(step)) for number, step in enumerate(steps, 1)]
    return rows


def settings_of(visit: Visit, endpoint: Endpoint) -> list[tuple[str, str]]:
    """Batching, limits and cache, in words."""
    say, batching, limits, cache = visit.say, endpoint.batching, endpoint.limits, endpoint.cache
    rows, delay = visit.count("rows", batching.max_batch_size), batching.max_queue_delay_microseconds
    if delay:
        together = say("endpoint.batch_up_to", rows=rows, delay=numbers.count(delay))
    else:
        together = say("endpoint.batch_waiting", rows=rows)
    bound = say("endpoint.at_most", n=visit.count("calls", batching.max_queue_size))
    shared = [
        (say("endpoint.inside"), say("endpoint.at_most", n=numbers.count(limits.max_concurrency))),
        (say("endpoint.timeout"), numbers.milliseconds(limits.timeout_ms)),
        (say("endpoint.capture"), visit.name("endpoint.capture", endpoint.capture)),
    ]
    if endpoint.task is Task.CHAT:  # the rest is its versions' own
        return shared
    kept = say("endpoint.cache_on", size=numbers.count(cache.size_mb), seconds=f"{cache.ttl_seconds:g}")
    return [
        (say("endpoint.batch"), together if batching.max_batch_size else say("endpoint.batch_off")),
        (say("endpoint.queue"), bound if batching.max_queue_size else say("endpoint.queue_open")),
        *shared[:2],
        (say("endpoint.rows"), say("endpoint.at_most", n=numbers.count(limits.max_rows))),
        (say("endpoint.cache"), kept if cache.size_mb else say("endpoint.cache_off")),
        shared[2],
    ]


def _variant_row(visit: Visit, data: Found, variant: Variant) -> Row:
    policy, model = data.endpoint.policy, variant.model
    role = role_of(policy, variant.name)
    candidate = policy.share if policy.candidate else 0
    part = {"baseline": BUCKETS - candidate, "candidate": candidate}.get(role, 0)
    traffic = data.traffic.variants.get(variant.name, Traffic())
    parity = variant.package.parity
    return {
        "id": variant.name,
        "name": variant_cell(variant.name, role, sub=visit.name("role", role)),
        "version": cell(f"{model.name} {model.version}", sub=model.flavor, title=model.uri),
        "stage": stage_cell(visit, data.stages.get(model.version, model.stage)),
        "share": bar_cell(part / BUCKETS, numbers.share(part), tone=role),
        "rate": cell(numbers.rate(traffic.rate), sub="/s"),
        "errors": cell(numbers.percent(traffic.errors, traffic.calls), tone="bad" if traffic.errors else ""),
        "p99": cell(numbers.milliseconds(traffic.p99_ms)),
        "runtime": cell(
            visit.name("runtime", variant.package.runtime), sub=visit.say("endpoint.adapted") if variant.adapter else ""
        ),
        "parity": cell(visit.count("endpoint.parity", parity.rows) if parity else numbers.NOTHING),
    }
