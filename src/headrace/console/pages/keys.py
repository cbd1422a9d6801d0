"""Keys of the gateway: whose they are, what they may, what they spent this month and how near their limits they are.

Called by the shell. Decides nothing: provision makes, turns and revokes them. Search, page and the key whose drawer is
open stand in the address; a secret is shown once, when it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from nicegui import ui

from headrace.console.pages import limits
from headrace.console.pages.gateway import gateway_tabs
from headrace.console.pages.key import KeyDetail
from headrace.console.pages.keying import ask_new
from headrace.console.parts import numbers
from headrace.console.parts.button import button
from headrace.console.parts.drawer import Drawer
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head
from headrace.console.parts.icon import icon, svg
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.pager import Pager
from headrace.console.parts.table import Row, Table, badge_cell, cell, column, time_cell
from headrace.console.parts.tag import choice, tag, text
from headrace.console.visit import Visit
from headrace.control.fullness import Fullness
from headrace.store import spend
from headrace.store.counters.base import month_start, span
from headrace.types.gateway import Level, SpendSum, VirtualKey, Window

if TYPE_CHECKING:
    from headrace.control.services import Services

SECONDS = 3.0
SOON = 7 * 86_400.0  # before it ends, a key is said to end soon


class State(StrEnum):
    GOOD = "good"
    SOON = "soon"
    EXPIRED = "expired"
    REVOKED = "revoked"


TONES = {
    State.GOOD: ("good", "check"),
    State.SOON: ("candidate", "clock"),
    State.EXPIRED: ("bad", "clock"),
    State.REVOKED: ("", "close"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    keys: tuple[VirtualKey, ...]
    spent: dict[str, SpendSum]  # this month, by id
    limits: tuple[Fullness, ...]  # of keys
    now: float


def load(services: Services) -> Found:
    now = services.clock.now()
    start = month_start(span(Window.MONTH, now).number)
    with services.database.read() as conn:
        sums = spend.sums(conn, since=start, until=now, by=("key",))
    return Found(
        keys=services.gateway.configuration()[1].keys,
        spent={str(each.group["key"]): each for each in sums},
        limits=tuple(each for each in services.gateway.limits() if each.limit.level is Level.KEY),
        now=now,
    )


def state_of(key: VirtualKey, now: float) -> State:
    if key.revoked:
        return State.REVOKED
    if not key.expires:
        return State.GOOD
    return State.EXPIRED if key.expires <= now else State.SOON if key.expires - now < SOON else State.GOOD


async def show(visit: Visit, find: str = "", state: str = "", page: str = "", key: str = "") -> None:
    ui.page_title(f"{visit.say('gateway.tab_keys')} · Headrace")
    data = await first_look(lambda: load(visit.services))
    if data is None:
        return
    asked = Asked(find=find.strip(), state=state if state in tuple(State) else "", page=int(page or 0))
    shown = _Page(visit, data, asked)
    shown.open(key)
    keep_fresh(lambda: load(visit.services), shown.show, seconds=SECONDS)


@dataclass(slots=True, kw_only=True)
class Asked:
    """What the address says."""

    find: str = ""
    state: str = ""
    page: int = 0

    def address(self, key: str = "") -> str:
        told = {"find": self.find, "state": self.state, "page": self.page or "", "key": key}
        query = urlencode({name: value for name, value in told.items() if value})
        return f"/gateway/keys?{query}" if query else "/gateway/keys"

    def admits(self, key: VirtualKey, now: float) -> bool:
        words = f"{key.name} {key.id} {key.team} {key.user} {key.workspace}".lower()
        here = state_of(key, now)
        wanted = here.value == self.state if self.state else here is not State.REVOKED
        return wanted and self.find.lower().removeprefix("hr-").rstrip("-…") in words


class _Page:
    def __init__(self, visit: Visit, data: Found, asked: Asked) -> None:
        self._visit, self._data, self._asked, self._open = visit, data, asked, ""
        say = visit.say
        self._head = page_head(say("gateway.tab_keys"), "", crumb=(say("place.gateway"), "/gateway"))
        with self._head.acts:
            button(say("keys.make"), lambda: ask_new(visit, self.open_made), kind="primary", icon_name="plus")
        gateway_tabs(visit, "/gateway/keys")
        with tag("div", "stack") as self._box:
            self._draw_filters()
            with tag("section", "panel"):
                self._table = Table(self._columns(), label=say("gateway.tab_keys"), on_pick=self.open).classes("tame")
                self._nobody = text("p", "faint inset", say("keys.none_found"))
                self._pager = Pager(visit, self._turn)
        with tag("div", "panel") as self._none:
            will = [say("keys.will_1"), say("keys.will_2"), say("keys.will_3")]
            command = "headrace key create app --team search"
            empty(visit, icon_name="key", title=say("keys.empty"), will=will, hint=say("keys.hint"), commands=[command])
        self._drawer = Drawer(visit, self._closed)
        self._detail: KeyDetail | None = None
        self.show(data)

    def _columns(self) -> list[dict[str, str]]:
        say = self._visit.say
        return [
            column("name", say("column.key")),
            column("owner", say("column.owner")),
            column("scopes", say("column.scopes"), wide_only=True),
            column("models", say("column.models"), wide_only=True),
            column("spent", say("column.spent_month"), end=True),
            column("full", say("column.nearest_limit"), wide_only=True),
            column("state", say("column.status")),
            column("made", say("column.made"), end=True, wide_only=True),
        ]

    def _draw_filters(self) -> None:
        say = self._visit.say
        with tag("div", "row-flex wrap"):
            with tag("label", "field").style("flex: 1 1 240px; max-width: 420px").props("data-search"):
                icon("search")
                text("span", "sr", say("keys.search"))
                search = tag("input", "", type="search", placeholder=say("keys.search"), defaultValue=self._asked.find)
                search.on("input", lambda e: self._ask(find=str(e.args)), js_handler="(e) => emit(e.target.value)")
            states = {"": say("keys.all_good"), **{s.value: self._visit.name("key_state", s) for s in State}}
            choice(states, self._asked.state, lambda value: self._ask(state=value), label=say("column.status"))

    def _ask(self, *, find: str | None = None, state: str | None = None) -> None:
        self._asked.find = self._asked.find if find is None else find.strip()
        self._asked.state = self._asked.state if state is None else state
        self._turn(0)

    def _turn(self, page: int) -> None:
        self._asked.page = page
        ui.navigate.history.replace(self._asked.address(self._open))
        self._show_rows()

    def show(self, data: Found) -> None:
        self._data = data
        self._box.set_visibility(bool(data.keys))
        self._none.set_visibility(not data.keys)
        self._head.sentence.show(*said_of(self._visit, data))
        self._show_rows()
        if self._detail is not None and (key := self._known(self._open)) is not None:
            self._detail.show(key, data.spent.get(key.id), data.limits)

    def _show_rows(self) -> None:
        data = self._data
        found = [key for key in reversed(data.keys) if self._asked.admits(key, data.now)]
        some = self._pager.show(self._asked.page, len(found))
        fullest = fullest_of(data.limits)
        self._table.show([_row(self._visit, data, key, fullest) for key in found[some]])
        self._table.set_visibility(bool(found))
        self._nobody.set_visibility(not found)

    def open(self, wanted: str) -> None:
        key = self._known(wanted)
        if key is None:
            return
        self._open = key.id
        self._table.choose(key.id)
        ui.navigate.history.replace(self._asked.address(key.id))
        with self._drawer.open(key.name or key.id):
            self._detail = KeyDetail(self._visit, key, self.refresh)
            self._detail.show(key, self._data.spent.get(key.id), self._data.limits)

    def open_made(self, key_id: str) -> None:
        self.refresh()
        self.open(key_id)

    def refresh(self) -> None:
        self.show(load(self._visit.services))

    def _known(self, wanted: str) -> VirtualKey | None:
        return next((key for key in self._data.keys if wanted and wanted in (key.id, key.name)), None)

    def _closed(self) -> None:
        self._open, self._detail = "", None
        self._table.choose("")
        ui.navigate.history.replace(self._asked.address())


def said_of(visit: Visit, data: Found) -> tuple[str, str]:
    states = [state_of(key, data.now) for key in data.keys]
    good = sum(state in (State.GOOD, State.SOON) for state in states)
    words = [visit.count("keys.sentence", good)]
    if soon := states.count(State.SOON):
        words.append(visit.count("keys.soon", soon))
    return visit.say("sentence.joint").join(words), ""


def fullest_of(found: tuple[Fullness, ...]) -> dict[str, tuple[Fullness, float]]:
    """Of each key the limit that is nearest, and how much of it is used."""
    made: dict[str, tuple[Fullness, float]] = {}
    for each in found:
        for held in each.held:
            part = held.used / each.limit.amount if each.limit.amount else 1.0
            had = made.get(held.who)
            if had is None or part > had[1] / (had[0].limit.amount or 1.0):
                made[held.who] = (each, held.used)
    return made


def _row(visit: Visit, data: Found, key: VirtualKey, fullest: Mapping[str, tuple[Fullness, float]]) -> Row:
    spent, nearest = data.spent.get(key.id), fullest.get(key.id)
    state = state_of(key, data.now)
    tone, icon_name = TONES[state]
    return {
        "id": key.id,
        "name": cell(key.name or key.id, sub=f"hr-{key.id}-…", title=key.name),
        "owner": cell(owner_of(key) or numbers.NOTHING, classes="soft", title=owner_of(key)),
        "scopes": cell(", ".join(scope.value for scope in key.scopes), classes="soft"),
        "models": cell(", ".join(key.models) or visit.say("keys.all_models"), classes="soft"),
        "spent": cell(numbers.money(spent.cost) if spent else numbers.NOTHING),
        "full": limits.full_cell(nearest[0].limit, nearest[1]) if nearest else cell(numbers.NOTHING),
        "state": badge_cell(visit.name("key_state", state), tone=tone, icon_name=icon_name)
        if state is not State.GOOD
        else cell(visit.name("key_state", state), classes="status-ok") | {"icon": svg(icon_name)},
        "made": time_cell(key.created),
    }


def owner_of(key: VirtualKey) -> str:
    return " · ".join(filter(None, (key.workspace, key.team, key.user)))
