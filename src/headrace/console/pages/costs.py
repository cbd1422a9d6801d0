"""Costs: what language models cost, by day and by whom; what the month will cost; which models have no price.

Called by the shell. Decides which parts of a bar get a colour of their own: the dearest. Sums are the ledger's, the
forecast is provision/money.py's. Range and grouping stand in the address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from nicegui import ui

from headrace.console.parts import numbers
from headrace.console.parts.bars import TOKENS, Bars, Stack
from headrace.console.parts.button import button
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import Stat, page_head, panel
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.pager import Pager
from headrace.console.parts.table import Row, Table, bar_cell, cell, column
from headrace.console.parts.tabs import tabs
from headrace.console.parts.tag import choice, link, tag, text
from headrace.console.visit import Visit
from headrace.control.gateway import Bill
from headrace.provision.money import Forecast, ledger_csv
from headrace.store import spend
from headrace.types.gateway import SpendSum, Usage

if TYPE_CHECKING:
    from headrace.control.services import Services

DAY = 86_400
RANGES = {"7": 7, "30": 30, "90": 90}
GROUPS = ("team", "model", "key", "endpoint", "user", "provider", "workspace")
BUCKETS = tuple(each.name for each in fields(Usage))
OWN_COLOUR = len(TOKENS) - 1  # the last one is for all the rest
SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    days: str = "30"
    by: str = "team"

    def address(self, **changed: str) -> str:
        return f"/costs?{urlencode({'days': self.days, 'by': self.by} | changed)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    bill: Bill
    before: float  # what the same time before it cost
    today: float
    names: dict[str, str]  # of keys, by id
    now: float


def load(services: Services, asked: Asked) -> Data:
    now, days = services.clock.now(), RANGES[asked.days]
    today = int(now // DAY) * DAY
    since = today - (days - 1) * DAY
    bill = services.gateway.bill(since=since, until=now, by=(asked.by,))
    with services.database.read() as conn:
        before = spend.sums(conn, since=since - days * DAY, until=since)
    keys = services.gateway.configuration()[1].keys if asked.by == "key" else ()
    return Data(
        bill=bill,
        before=before[0].cost if before else 0.0,
        today=sum(each.cost for each in bill.sums if each.group["day"] == today),
        names={key.id: key.name for key in keys if key.name},
        now=now,
    )


def costs_tabs(visit: Visit, here: str) -> None:
    """Also used by the page of prices."""
    labels = {"/costs": visit.say("costs.tab_spent"), "/costs/prices": visit.say("costs.tab_prices")}
    tabs(labels, here, title=visit.say("place.costs"))


async def show(visit: Visit, days: str = "", by: str = "") -> None:
    ui.page_title(f"{visit.say('place.costs')} · Headrace")
    asked = Asked(days=days if days in RANGES else "30", by=by if by in GROUPS else "team")
    data = await first_look(lambda: load(visit.services, asked))
    if data is None:
        return
    page = _Page(visit, asked, data)
    keep_fresh(lambda: load(visit.services, asked), page.show, seconds=SECONDS)


class _Page:
    def __init__(self, visit: Visit, asked: Asked, data: Data) -> None:
        self._visit, self._asked, self._data, say = visit, asked, data, visit.say
        self._empty = data.bill.total is None and not data.before
        self._page = 0
        self._head = page_head(say("place.costs"), said_of(visit, data))
        self._draw_acts()
        costs_tabs(visit, "/costs")
        if self._empty:
            self._draw_nothing()
            return
        self._notice = tag("div", "notices")
        self._told: list[str] = []
        with tag("div", "stack"):
            with tag("div", "stats"):
                self._spent, self._today = Stat(say("costs.spent")), Stat(say("costs.today"))
                self._month, self._will = Stat(say("costs.month")), Stat(say("costs.forecast"))
                self._tokens = Stat(say("costs.tokens"))
            title = say("costs.a_day", by=visit.name("group", asked.by).lower())
            with panel(title) as box:
                self._bars = Bars(visit, title, box, unit="USD", file=f"costs-by-{asked.by}")
            with panel(visit.name("costs_top", asked.by), flush=True):
                self._table = Table(self._columns(), label=visit.name("costs_top", asked.by)).classes("tame")
                self._pager = Pager(visit, self._turn)
            with panel(say("costs.tokens_a_day")) as box:
                self._buckets = Bars(visit, say("costs.tokens_a_day"), box, unit="", file="tokens")
        self.show(data)

    def _draw_acts(self) -> None:
        visit, asked = self._visit, self._asked
        with self._head.acts:
            with tag("div", "segmented", role="group", aria_label=visit.say("column.time")):
                for days in RANGES:
                    pressed = "true" if days == asked.days else "false"
                    switch = tag("button", "", type="button", aria_pressed=pressed)
                    switch.on("click", lambda days=days: ui.navigate.to(asked.address(days=days)), args=[])
                    with switch:
                        text("span", "", visit.say("costs.days", n=days))
            choice(
                {name: visit.name("group", name) for name in GROUPS},
                asked.by,
                lambda by: ui.navigate.to(asked.address(by=by)),
                label=visit.say("costs.by"),
            )
            button(visit.say("costs.export"), self._export, icon_name="download")

    def _draw_nothing(self) -> None:
        say = self._visit.say
        with tag("div", "panel"):
            empty(
                self._visit,
                icon_name="costs",
                title=say("costs.empty"),
                will=[say("costs.will_1"), say("costs.will_2"), say("costs.will_3")],
                hint=say("costs.empty_hint"),
                commands=["headrace up --llm"],
            )

    def _columns(self) -> list[dict[str, str]]:
        say = self._visit.say
        return [
            column("name", self._visit.name("group", self._asked.by)),
            column("share", say("costs.share")),
            column("cost", say("costs.cost"), end=True),
            column("calls", say("column.calls"), end=True, wide_only=True),
            column("tokens", say("costs.tokens"), end=True, wide_only=True),
            column("cached", say("costs.cached"), end=True, wide_only=True),
            column("each", say("costs.each"), end=True, wide_only=True),
        ]

    def show(self, data: Data) -> None:
        self._data = data
        if self._empty:
            if data.bill.total is not None:
                ui.navigate.reload()
            return
        self._head.sentence.show(said_of(self._visit, data))
        self._show_unpriced(data.bill)
        self._show_stats(data)
        days = days_of(data.bill)
        self._bars.show(days, stacks_of(self._visit, data, self._asked.by, days))
        self._buckets.show(days, bucket_stacks(self._visit, data.bill, days))
        self._show_rows()

    def _turn(self, page: int) -> None:
        self._page = page
        self._show_rows()

    def _show_rows(self) -> None:
        ranks = ranked(self._data.bill.sums, self._asked.by)
        some = self._pager.show(self._page, len(ranks))
        largest = max((rank.cost for rank in ranks), default=0.0)
        self._table.show([self._row(rank, largest) for rank in ranks[some]])

    def _show_unpriced(self, bill: Bill) -> None:
        """Only those that somebody bills: what runs here costs nothing a token."""
        told = [f"{each.provider}/{each.model}" for each in bill.unpriced if not each.own]
        if told == self._told:
            return
        self._told = told
        self._notice.clear()
        if told:
            with self._notice, tag("div", "notice hint-note", role="status"):
                names = self._visit.say("release.and").join(told[:5])
                text("span", "", self._visit.count("costs.unpriced", len(told), names=names))
                with link("/costs/prices", "push nowrap"):
                    text("span", "", self._visit.say("costs.say_prices"))

    def _show_stats(self, data: Data) -> None:
        say, bill = self._visit.say, data.bill
        total = bill.total.cost if bill.total else 0.0
        change = numbers.change(total, data.before)
        self._spent.show(
            numbers.money_figure(total), unit="USD", note=say("costs.change", change=change) if change else ""
        )
        self._today.show(numbers.money_figure(data.today), unit="USD", note=say("costs.utc"))
        _show_forecast(self._visit, self._month, self._will, bill.forecast)
        usage = bill.total.usage if bill.total else Usage()
        prompt = usage.input + usage.cache_read + usage.cache_write
        note = say("costs.from_cache", part=numbers.percent(usage.cache_read, prompt))
        self._tokens.show(numbers.count(usage.total), note=note)

    def _row(self, rank: Rank, largest: float) -> Row:
        name, usage = label_of(self._visit, self._data, self._asked.by, rank.name), rank.usage
        prompt = usage.input + usage.cache_read + usage.cache_write
        total = self._data.bill.total.cost if self._data.bill.total else 0.0
        return {
            "id": rank.name or "-",
            "name": cell(name, title=rank.name, classes="" if rank.name else "faint"),
            "share": bar_cell(rank.cost / largest if largest else 0.0, numbers.percent(rank.cost, total), tone="brand"),
            "cost": cell(numbers.money(rank.cost)),
            "calls": cell(numbers.count(rank.calls)),
            "tokens": cell(numbers.count(usage.total)),
            "cached": cell(numbers.percent(usage.cache_read, prompt)),
            "each": cell(numbers.money(1000 * rank.cost / rank.calls) if rank.calls else numbers.NOTHING),
        }

    def _export(self) -> None:
        bill = self._data.bill
        with self._visit.services.database.read() as conn:
            found = spend.sums(conn, since=bill.since, until=bill.until, by=("day", *spend.LABELS))
        ui.download.content(ledger_csv(found), "costs.csv", "text/csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """One of a grouping, over all days."""

    name: str
    cost: float
    calls: int
    usage: Usage


def ranked(sums: Sequence[SpendSum], by: str) -> list[Rank]:
    """The dearest first; where nothing costs anything, the busiest."""
    groups: dict[str, list[SpendSum]] = {}
    for each in sums:
        groups.setdefault(str(each.group[by]), []).append(each)
    made = [
        Rank(
            name=name,
            cost=sum(each.cost for each in of),
            calls=sum(each.calls for each in of),
            usage=_together([each.usage for each in of]),
        )
        for name, of in groups.items()
    ]
    return sorted(made, key=lambda rank: (-rank.cost, -rank.usage.total, rank.name))


def _together(usages: Sequence[Usage]) -> Usage:
    columns = zip(*map(astuple, usages), strict=True)
    return Usage(**dict(zip(BUCKETS, map(sum, columns), strict=True)))


def days_of(bill: Bill) -> list[str]:
    first = int(bill.since // DAY) * DAY
    return [_date(day) for day in range(first, int(bill.until) + 1, DAY)]


def _date(day: float) -> str:
    return f"{datetime.fromtimestamp(day, UTC):%Y-%m-%d}"


def stacks_of(visit: Visit, data: Data, by: str, days: Sequence[str]) -> list[Stack]:
    """The dearest have a colour each, all others one together."""
    ranks = ranked(data.bill.sums, by)
    own = [rank.name for rank in ranks[:OWN_COLOUR]]
    values: dict[str, dict[str, float]] = {name: {} for name in own}
    rest: dict[str, float] = {}
    for each in data.bill.sums:
        day, of = _date(float(each.group["day"])), values.get(str(each.group[by]), rest)
        of[day] = of.get(day, 0.0) + each.cost
    made = [
        Stack(
            name=label_of(visit, data, by, name),
            token=TOKENS[rank],
            values=tuple(values[name].get(day, 0.0) for day in days),
        )
        for rank, name in enumerate(own)
    ]
    if len(ranks) > OWN_COLOUR:
        others = visit.count("costs.others", len(ranks) - OWN_COLOUR)
        made.append(Stack(name=others, token=TOKENS[-1], values=tuple(rest.get(day, 0.0) for day in days)))
    return made


def bucket_stacks(visit: Visit, bill: Bill, days: Sequence[str]) -> list[Stack]:
    """Of tokens. Buckets that nobody used have no place in the legend."""
    sums: dict[str, dict[str, float]] = {bucket: {} for bucket in BUCKETS}
    for each in bill.sums:
        day = _date(float(each.group["day"]))
        for bucket in BUCKETS:
            sums[bucket][day] = sums[bucket].get(day, 0.0) + getattr(each.usage, bucket)
    return [
        Stack(
            name=f"{visit.name('bucket', bucket)} {numbers.count(sum(sums[bucket].values()))}",
            token=TOKENS[rank],
            values=tuple(sums[bucket].get(day, 0.0) for day in days),
        )
        for rank, bucket in enumerate(BUCKETS)
        if any(sums[bucket].values())
    ]


def label_of(visit: Visit, data: Data, by: str, name: str) -> str:
    if not name:
        return visit.name("nobody", by)
    if by == "key":
        return data.names.get(name, f"hr-{name}-…")
    return name[:8] if by == "user" else name


def said_of(visit: Visit, data: Data) -> str:
    bill = data.bill
    if bill.total is None:
        return visit.say("costs.nothing")
    told = bill.forecast
    spent = visit.say("costs.sentence", cost=numbers.money(bill.total.cost), n=len(days_of(bill)))
    if told is None or not told.expected:
        return spent
    will = visit.say("costs.sentence_will", cost=numbers.money(told.expected))
    return visit.say("sentence.joint").join([spent, will])


def _show_forecast(visit: Visit, month: Stat, will: Stat, told: Forecast | None) -> None:
    if told is None:
        return
    month.show(numbers.money_figure(told.so_far), unit="USD", note=_date(told.month)[:7])
    low, high = numbers.money_figure(told.low), numbers.money_figure(told.high)
    will.show(numbers.money_figure(told.expected), unit="USD", note=visit.say("costs.between", low=low, high=high))
