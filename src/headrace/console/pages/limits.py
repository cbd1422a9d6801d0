"""Limits and how full they are: a bar for each, and in the drawer everyone whom it counts. Called by the gateway page.

Decides nothing: control/fullness.py knows. A limit whose drawer is open is named in the address by its place.
"""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from headrace.console.parts import numbers
from headrace.console.parts.drawer import Drawer
from headrace.console.parts.frame import panel
from headrace.console.parts.table import Row, Table, badge_cell, bar_cell, cell, column
from headrace.console.parts.tag import tag, text
from headrace.console.visit import Visit
from headrace.control.fullness import Fullness, Held, window_of
from headrace.types.gateway import Counted, Level, Limit, VirtualKey

SHOWN = 100  # callers in the drawer
TIGHT = 0.8  # from here on a bar warns


class LimitPanel:
    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._found: tuple[Fullness, ...] = ()
        self._chosen, self._now = "", 0.0
        self._keys: Sequence[VirtualKey] = ()
        self._names: dict[str, str] = {}
        self._held: Table | None = None
        self._table: Table | None = None

    def draw(self) -> None:
        say = self._visit.say
        with panel(say("gateway.limits"), flush=True):
            columns = [
                column("who", say("column.for_whom")),
                column("limit", say("column.limit")),
                column("full", say("column.fullest")),
                column("by", say("column.by_whom"), wide_only=True),
                column("ends", say("column.begins_anew"), end=True, wide_only=True),
                column("mode", "", wide_only=True),
            ]
            self._table = Table(columns, label=say("gateway.limits"), on_pick=self.open).classes("tame")
            self._none = text("p", "faint inset", say("gateway.no_limit"))
        self._drawer = Drawer(self._visit, self._closed)

    def show(self, found: tuple[Fullness, ...], keys: Sequence[VirtualKey], now: float) -> None:
        if self._table is None:
            return
        self._found, self._now = found, now
        if keys is not self._keys:
            self._keys, self._names = keys, {key.id: key.name for key in keys if key.name}
        self._none.set_visibility(not found)
        self._table.set_visibility(bool(found))
        self._table.show([self._row(str(at), each) for at, each in enumerate(found)])
        if self._chosen:
            self._show_held()

    def open(self, which: str) -> None:
        if self._table is None or not which.isdigit() or int(which) >= len(self._found):
            return
        self._chosen, say = which, self._visit.say
        self._table.choose(which)
        ui.navigate.history.replace(f"/gateway?limit={which}")
        with self._drawer.open(said(self._visit, self._found[int(which)].limit)):
            self._words = text("p", "soft", "")
            columns = [column("who", say("column.by_whom")), column("full", say("column.full"))]
            self._held = Table(columns, label=say("column.by_whom")).classes("tame")
        self._show_held()

    def _closed(self) -> None:
        self._chosen, self._held = "", None
        if self._table is not None:
            self._table.choose("")
        ui.navigate.history.replace("/gateway")

    def _show_held(self) -> None:
        if self._held is None or int(self._chosen) >= len(self._found):
            return
        found = self._found[int(self._chosen)]
        self._words.set_text(self._visit.count("gateway.counted", len(found.held)))
        self._held.show(
            [
                {
                    "id": held.who,
                    "who": cell(self._named(found.limit, held), title=held.who),
                    "full": full_cell(found.limit, held.used),
                }
                for held in found.held[:SHOWN]
            ]
        )

    def _row(self, at: str, found: Fullness) -> Row:
        visit, limit = self._visit, found.limit
        fullest = found.held[0] if found.held else None
        ends = fullest.ends if fullest else 0.0
        mode = badge_cell(visit.say("limit.dry"), icon_name="eye") if limit.dry_run else cell("")
        return {
            "id": at,
            "who": cell(whom(visit, limit)),
            "limit": cell(amount(visit, limit)),
            "full": full_cell(limit, fullest.used if fullest else 0.0),
            "by": cell(self._named(limit, fullest) if fullest else numbers.NOTHING, classes="soft"),
            "ends": cell(numbers.duration(max(ends - self._now, 0.0)) if ends else numbers.NOTHING, classes="soft"),
            "mode": mode,
        }

    def _named(self, limit: Limit, held: Held) -> str:
        if limit.level is Level.ALL:
            return self._visit.say("limit.everyone")
        return self._names.get(held.who, held.who) if limit.level is Level.KEY else held.who


def full_cell(limit: Limit, used: float) -> dict[str, object]:
    part = used / limit.amount if limit.amount else 1.0
    tone = "bad" if part >= 1 else "candidate" if part >= TIGHT else "good"
    return bar_cell(part, numbers.percent(used, limit.amount), tone=tone) | {
        "sub": f"{figure(limit, used)} / {figure(limit, limit.amount)}"
    }


def figure(limit: Limit, value: float) -> str:
    return numbers.money(value) if limit.counted is Counted.COST else numbers.count(value)


def whom(visit: Visit, limit: Limit) -> str:
    if limit.level is Level.ALL:
        return visit.say("limit.everyone")
    level = visit.name("level", limit.level)
    return visit.say("limit.named", level=level, who=limit.who) if limit.who else visit.say("limit.each", level=level)


def amount(visit: Visit, limit: Limit) -> str:
    window = window_of(limit)
    counted = visit.name("counted", limit.counted, n=figure(limit, limit.amount))
    return f"{counted} {visit.name('window', window) if window else visit.say('limit.at_once')}"


def said(visit: Visit, limit: Limit) -> str:
    return f"{whom(visit, limit)}: {amount(visit, limit)}"


def draw_bar(visit: Visit, found: Fullness, who: str) -> None:
    """One caller's bar, as in the drawer of a key."""
    held = next((each for each in found.held if each.who == who), None)
    used = held.used if held else 0.0
    part = used / found.limit.amount if found.limit.amount else 1.0
    role = "bad" if part >= 1 else "candidate" if part >= TIGHT else "good"
    with tag("div", "meter"):
        text("span", "label", amount(visit, found.limit))
        with tag("span", "track"):
            tag("i", f"role-{role}").style(f"width: {100 * min(part, 1.0):.1f}%")
        text("span", "num-words", f"{figure(found.limit, used)} / {figure(found.limit, found.limit.amount)}")
