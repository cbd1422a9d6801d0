"""Gateway: how upstream models are, which of them answer for which chat endpoint, how full limits are, what guards do.

Called by the shell. Decides nothing: control/gateway.py tells how things are, provision changes them (keys.py,
changes.py and editor.py are the pages for it). The limit whose callers are shown stands in the address.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nicegui import ui

from headrace.console.pages import limits, routes
from headrace.console.pages.upstreams import row_of_provider, row_of_upstream, upstream_columns
from headrace.console.parts import numbers
from headrace.console.parts.empty import empty
from headrace.console.parts.figures import sum_of, traffic_of
from headrace.console.parts.frame import Stat, page_head, panel
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.table import Table
from headrace.console.parts.tabs import tabs
from headrace.console.parts.tag import link, tag, text
from headrace.console.sentences import Traffic
from headrace.console.visit import Visit
from headrace.control.fullness import Fullness
from headrace.control.gateway import Route
from headrace.store import spend
from headrace.types.call import Call
from headrace.types.gateway import Gateway, SpendSum

if TYPE_CHECKING:
    from headrace.control.services import Services

DAY = 86_400.0
SECONDS = 2.0
GUARD_SECONDS = 10.0
GUARDED = 200  # newest calls of an endpoint in which findings of guards are counted
APPLY = "headrace apply -f gateway.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    gateway: Gateway
    upstreams: list[dict[str, Any]]
    routes: tuple[Route, ...]
    limits: tuple[Fullness, ...]
    traffic: Traffic  # of chat endpoints together
    seen: tuple[SpendSum, ...]  # of the last day, by way
    today: SpendSum | None
    now: float


def load(services: Services) -> Data:
    now, look = services.clock.now(), services.gateway
    found = look.routes()
    with services.database.read() as conn:
        seen = spend.sums(conn, since=now - DAY, until=now, by=("endpoint", "variant", "provider", "model"))
        today = spend.sums(conn, since=now // DAY * DAY, until=now)
    return Data(
        gateway=look.configuration()[1],
        upstreams=look.upstreams(),
        routes=found,
        limits=look.limits(),
        traffic=sum_of([traffic_of(services, route.endpoint.name) for route in found]),
        seen=seen,
        today=today[0] if today else None,
        now=now,
    )


def gateway_tabs(visit: Visit, here: str) -> None:
    """Also used by the other pages of the gateway."""
    say = visit.say
    labels = {
        "/gateway": say("gateway.tab_now"),
        "/gateway/keys": say("gateway.tab_keys"),
        "/gateway/versions": say("gateway.tab_versions"),
        "/gateway/edit": say("gateway.tab_edit"),
    }
    tabs(labels, here, title=say("place.gateway"))


async def show(visit: Visit, limit: str = "") -> None:
    ui.page_title(f"{visit.say('place.gateway')} · Headrace")
    data = await first_look(lambda: load(visit.services))
    if data is None:
        return
    page = _Page(visit, data)
    page.limits.open(limit)
    keep_fresh(lambda: load(visit.services), page.show, seconds=SECONDS)
    if any(chat.guards for route in data.routes for chat in route.chats.values()):
        keep_fresh(lambda: guarded(visit.services, data.routes), page.show_guards, seconds=GUARD_SECONDS, at_once=True)


def guarded(services: Services, found: tuple[Route, ...]) -> dict[str, list[Call]]:
    """The newest calls of endpoints that have guards."""
    names = [r.endpoint.name for r in found if any(chat.guards for chat in r.chats.values())]
    return {name: list(services.query.calls(endpoint=name, limit=GUARDED)) for name in names}


class _Page:
    def __init__(self, visit: Visit, data: Data) -> None:
        self._visit, say = visit, visit.say
        self._empty = not data.gateway.providers and not data.routes
        self._head = page_head(say("place.gateway"), said_of(visit, data)[0], tone=said_of(visit, data)[1])
        with self._head.acts, link("/gateway/edit", "btn primary"):
            text("span", "", say("gateway.edit"))
        gateway_tabs(visit, "/gateway")
        self.limits = limits.LimitPanel(visit)
        self._routes: tuple[Route, ...] = data.routes
        if self._empty:
            self._draw_nothing()
            return
        with tag("div", "stack"):
            with tag("div", "stats"):
                self._rate, self._errors = Stat(say("figure.rate")), Stat(say("figure.errors"))
                self._p50 = Stat(say("figure.p50"))
                self._tokens, self._cost = Stat(say("gateway.tokens_today")), Stat(say("gateway.cost_today"))
            with panel(say("gateway.upstreams"), flush=True):
                self._upstreams = Table(upstream_columns(visit), label=say("gateway.upstreams")).classes("tame")
            with panel(say("gateway.routes"), flush=True):
                self._ways = Table(routes.columns(visit), label=say("gateway.routes")).classes("tame")
                self._no_route = text("p", "faint inset", say("gateway.no_route"))
            self.limits.draw()
            with tag("div") as self._guard_box, panel(say("gateway.guards"), flush=True):
                self._guards = Table(routes.guard_columns(visit), label=say("gateway.guards")).classes("tame")
        self.show(data)
        self.show_guards({})

    def _draw_nothing(self) -> None:
        say = self._visit.say
        with tag("div", "panel"):
            empty(
                self._visit,
                icon_name="gateway",
                title=say("gateway.empty"),
                will=[say("gateway.will_1"), say("gateway.will_2"), say("gateway.will_3")],
                hint=say("gateway.empty_hint"),
                commands=["headrace up --llm"],
            )

    def show(self, data: Data) -> None:
        if self._empty:
            if data.gateway.providers or data.routes:
                ui.navigate.reload()
            return
        self._routes = data.routes
        self._head.sentence.show(*said_of(self._visit, data))
        self._show_stats(data)
        self._upstreams.show(upstream_rows(self._visit, data))
        self._ways.show(routes.rows(self._visit, data.routes, data.seen))
        self._no_route.set_visibility(not data.routes)
        self.limits.show(data.limits, data.gateway.keys, data.now)

    def show_guards(self, calls: dict[str, list[Call]]) -> None:
        rows = routes.guard_rows(self._visit, self._routes, calls)
        self._guard_box.set_visibility(bool(rows))
        self._guards.show(rows)

    def _show_stats(self, data: Data) -> None:
        visit, say, traffic = self._visit, self._visit.say, data.traffic
        self._rate.show(numbers.rate(traffic.rate), unit=say("unit.per_second"), note=say("figure.last_seconds"))
        self._errors.show(
            numbers.percent(traffic.errors, traffic.calls),
            note=say("figure.of_calls", calls=visit.count("calls", traffic.calls)),
            tone="bad" if traffic.errors else "",
        )
        figure, unit = numbers.milliseconds_parts(traffic.p50_ms)
        self._p50.show(figure, unit=unit, note=say("figure.slowest" if len(data.routes) > 1 else "figure.recent"))
        today = data.today
        usage = today.usage if today else None
        note = visit.count("calls", today.calls if today else 0)
        self._tokens.show(numbers.count(usage.total if usage else 0), note=note)
        cached = say("gateway.cached", n=numbers.count(usage.cache_read if usage else 0))
        self._cost.show(numbers.money_figure(today.cost if today else 0.0), unit="USD", note=cached)


def said_of(visit: Visit, data: Data) -> tuple[str, str]:
    """The sentence and its tone: what is in the way of calls comes first."""
    alone = [f"{row['provider']}/{row['model']}" for row in data.upstreams if row["left_alone"]]
    if alone:
        return visit.count("gateway.alone", len(alone), names=visit.say("release.and").join(alone[:3])), "bad"
    full = [each for each in data.limits if each.part >= 1.0 and not each.limit.dry_run]
    if full:
        return visit.say("gateway.full", limit=limits.said(visit, full[0].limit)), "bad"
    if not data.routes:
        return visit.say("gateway.no_route"), ""
    models = visit.count("gateway.models", len({(row["provider"], row["model"]) for row in data.upstreams}))
    return visit.count("gateway.answers", len(data.routes), models=models), ""


def upstream_rows(visit: Visit, data: Data) -> list[dict[str, Any]]:
    """In the order of the configuration; a provider that no version names stands there too."""
    made = []
    for provider in data.gateway.providers:
        rows = [row for row in data.upstreams if row["provider"] == provider.name]
        made += [row_of_upstream(visit, provider, row) for row in rows] or [row_of_provider(visit, provider)]
    known = {provider.name for provider in data.gateway.providers}
    return made + [row_of_upstream(visit, None, row) for row in data.upstreams if row["provider"] not in known]
