"""Prices: what a million tokens cost, whether that holds now, who says so, and what people changed of it.

Called by the shell. Decides which prices are shown first: those of models that are called. provision makes the table,
from lists and from what people say. Search, filter and page stand in the address.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from nicegui import ui

from headrace.console.pages.costs import costs_tabs
from headrace.console.parts import numbers
from headrace.console.parts.button import copy_button
from headrace.console.parts.diff import SIGNS
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head, panel
from headrace.console.parts.icon import icon
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.pager import Pager
from headrace.console.parts.table import Row, Table, badge_cell, cell, column, time_cell
from headrace.console.parts.tag import choice, link, tag, text
from headrace.console.visit import Visit
from headrace.provision.diff import Line
from headrace.provision.money import Hold, PriceRow
from headrace.store import spend
from headrace.store.gateway import Version
from headrace.traffic.price import fits
from headrace.types.gateway import Price, Usage

if TYPE_CHECKING:
    from headrace.control.services import Services

BUCKETS = tuple(each.name for each in fields(Usage))
MONTH = 30 * 86_400.0
SECONDS = 5.0
FILTERS = ("used", "all", "said")
TONES = {
    Hold.NOW: ("good", "check"),
    Hold.LATER: ("candidate", "clock"),
    Hold.PAST: ("", "close"),
    Hold.BEATEN: ("", "person"),
}
SAID = """\
prices:
  - {provider: openai, model: my-fine-tune, input: 3, cache_read: 0.3, output: 12, since: 2026-12-01}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    version: int
    rows: tuple[PriceRow, ...]
    used: frozenset[tuple[str, str]]  # provider and model, of the last month and of what is configured
    said: tuple[tuple[Version, Line], ...]


def load(services: Services, known: Found | None = None) -> Found:
    """What people said is read anew only when there is a newer version."""
    number, now = services.provision.version(), services.clock.now()
    with services.database.read() as conn:
        called = spend.sums(conn, since=now - MONTH, until=now, by=("provider", "model"))
    used = {(str(each.group["provider"]), str(each.group["model"])) for each in called}
    for route in services.gateway.routes():
        used |= {(way.provider, way.model) for chat in route.chats.values() for way in chat.ways}
    same = known is not None and known.version == number
    return Found(
        version=number,
        rows=services.gateway.prices(),
        used=frozenset(used),
        said=known.said if same and known is not None else services.provision.said_prices(),
    )


async def show(visit: Visit, find: str = "", only: str = "", page: str = "") -> None:
    ui.page_title(f"{visit.say('costs.tab_prices')} · Headrace")
    data = await first_look(lambda: load(visit.services))
    if data is None:
        return
    shown = _Page(visit, data, find=find.strip(), only=only, page=int(page or 0))
    keep_fresh(lambda: load(visit.services, shown.data), shown.show, seconds=SECONDS)


class _Page:
    def __init__(self, visit: Visit, data: Found, *, find: str, only: str, page: int) -> None:
        self._visit, self.data, say = visit, data, visit.say
        self._find, self._at = find, page
        self._only = only if only in FILTERS else "used" if used_rows(data) else "all"
        self._head = page_head(say("costs.tab_prices"), "", crumb=(say("place.costs"), "/costs"))
        with self._head.acts, link("/gateway/edit?section=prices", "btn primary"):
            text("span", "", say("prices.change"))
        costs_tabs(visit, "/costs/prices")
        with tag("div", "stack") as self._box:
            self._draw_filters()
            with tag("section", "panel"):
                self._table = Table(self._columns(), label=say("costs.tab_prices")).classes("tame")
                self._nothing = text("p", "faint inset", say("prices.none_found"))
                self._pager = Pager(visit, self._turn)
            with panel(say("prices.said"), flush=True):
                self._history = Table(self._said_columns(), label=say("prices.said"), links=True).classes("tame")
                self._unsaid = tag("div", "inset stack stack-8")
                with self._unsaid:
                    text("p", "faint", say("prices.unsaid"))
                    text("code", "code", SAID)
                    with tag("div"):
                        copy_button(visit, "YAML", SAID)
        with tag("div", "panel") as self._none:
            will = [say("prices.will_1"), say("prices.will_2")]
            empty(visit, icon_name="costs", title=say("prices.empty"), will=will, hint=say("prices.hint"))
        self.show(data)

    def _draw_filters(self) -> None:
        say = self._visit.say
        with tag("div", "row-flex wrap"):
            with tag("label", "field").style("flex: 1 1 240px; max-width: 420px").props("data-search"):
                icon("search")
                text("span", "sr", say("prices.search"))
                search = tag("input", "", type="search", placeholder=say("prices.search"), defaultValue=self._find)
                search.on("input", lambda e: self._ask(find=str(e.args)), js_handler="(e) => emit(e.target.value)")
            options = {name: self._visit.name("prices_only", name) for name in FILTERS}
            choice(options, self._only, lambda value: self._ask(only=value), label=say("prices.which"))

    def _columns(self) -> list[dict[str, str]]:
        say = self._visit.say
        buckets = [
            column(name, self._visit.name("bucket", name), end=True, wide_only=name not in ("input", "output"))
            for name in BUCKETS
        ]
        return [
            column("provider", say("column.provider"), wide_only=True),
            column("model", say("column.model")),
            *buckets,
            column("hold", say("column.status"), wide_only=True),
            column("since", say("prices.since"), wide_only=True),
            column("source", say("prices.source"), wide_only=True),
        ]

    def _said_columns(self) -> list[dict[str, str]]:
        say = self._visit.say
        return [
            column("deed", ""),
            column("price", say("prices.price"), grow=True),
            column("actor", say("column.who"), wide_only=True),
            column("version", say("column.version"), end=True),
            column("time", say("column.time"), end=True),
        ]

    def _ask(self, *, find: str | None = None, only: str | None = None) -> None:
        self._find = self._find if find is None else find.strip()
        self._only = self._only if only is None else only
        self._turn(0)

    def _turn(self, page: int) -> None:
        self._at = page
        told = {"find": self._find, "only": self._only, "page": page or ""}
        ui.navigate.history.replace(f"/costs/prices?{urlencode({k: v for k, v in told.items() if v})}")
        self._show_rows()

    def show(self, data: Found) -> None:
        self.data = data
        self._box.set_visibility(bool(data.rows))
        self._none.set_visibility(not data.rows)
        said = sum(not row.price.source for row in data.rows)
        words = [self._visit.count("prices.sentence", len({(r.price.provider, r.price.model) for r in data.rows}))]
        words += [self._visit.count("prices.of_people", said)] if said else []
        self._head.sentence.show(self._visit.say("sentence.joint").join(words))
        self._history.show([self._said_row(*each) for each in data.said])
        self._history.set_visibility(bool(data.said))
        self._unsaid.set_visibility(not data.said)
        self._show_rows()

    def _show_rows(self) -> None:
        rows = {
            "used": lambda: used_rows(self.data),
            "all": lambda: list(self.data.rows),
            "said": lambda: [row for row in self.data.rows if not row.price.source],
        }[self._only]()
        words = self._find.lower()
        rows = [row for row in rows if words in f"{row.price.provider}/{row.price.model}".lower()]
        some = self._pager.show(self._at, len(rows))
        self._table.show([self._row(row) for row in rows[some]])
        self._table.set_visibility(bool(rows))
        self._nothing.set_visibility(not rows)

    def _row(self, row: PriceRow) -> Row:
        price = row.price
        tone, icon_name = TONES[row.hold]
        above = self._visit.say("prices.above", n=numbers.count(price.above)) if price.above else ""
        made = {
            "id": f"{price.provider}/{price.model}/{price.since}/{price.above}/{price.source}",
            "provider": cell(price.provider, title=price.provider),
            "model": cell(price.model, sub=above, title=price.pattern or price.model),
            "hold": badge_cell(self._visit.name("hold", row.hold), tone=tone, icon_name=icon_name),
            "since": cell(date_of(price.since) if price.since else numbers.NOTHING, classes="soft"),
            "source": cell(price.source or self._visit.say("prices.a_person"), classes="soft"),
        }
        return made | {name: cell(_amount(getattr(price, name))) for name in BUCKETS}

    def _said_row(self, version: Version, line: Line) -> Row:
        sign, tone = SIGNS[line.deed]
        return {
            "id": f"{version.number}/{line.name}",
            "deed": cell(f"{sign} {self._visit.name('deed', line.deed)}", tone=tone),
            "price": cell(line.name, sub=line.detail, href=f"/gateway/versions?version={version.number}"),
            "actor": cell(version.actor),
            "version": cell(str(version.number)),
            "time": time_cell(version.created),
        }


def used_rows(data: Found) -> list[PriceRow]:
    """Of models that were called, under whichever of their names."""
    return [row for row in data.rows if any(_is(row.price, provider, model) for provider, model in data.used)]


def _is(price: Price, provider: str, model: str) -> bool:
    return price.provider == provider and (price.model == model or bool(price.pattern and fits(price.pattern, model)))


def date_of(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"


def _amount(dollars: float) -> str:
    return f"{dollars:g}" if dollars else numbers.NOTHING
