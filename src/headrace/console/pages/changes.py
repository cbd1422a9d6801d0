"""Versions of the gateway: who changed what and why, what each one changed, and the way back.

Called by the shell. Decides nothing: provision keeps versions and goes back. The version that is open stands in the
address.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nicegui import run, ui

from headrace.console.pages.gateway import APPLY, gateway_tabs
from headrace.console.parts.button import button
from headrace.console.parts.confirm import toast
from headrace.console.parts.diff import show_diff
from headrace.console.parts.drawer import Drawer
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head, panel, problem
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.settle import ask_with_diff
from headrace.console.parts.table import Row, Table, badge_cell, cell, column, time_cell
from headrace.console.parts.tag import tag, text
from headrace.console.parts.when import when
from headrace.console.visit import Visit
from headrace.provision.service import Change
from headrace.store.gateway import Version
from headrace.types.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.control.services import Services

LISTED = 100
SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    number: int  # of the newest
    versions: tuple[Version, ...]


def load(services: Services, known: Found | None = None) -> Found:
    """What is `known` is not read again."""
    number = services.provision.version()
    if known is not None and known.number == number:
        return known
    return Found(number=number, versions=services.provision.history(limit=LISTED))


async def show(visit: Visit, version: str = "") -> None:
    ui.page_title(f"{visit.say('gateway.tab_versions')} · Headrace")
    data = await first_look(lambda: load(visit.services))
    if data is None:
        return
    page = _Page(visit, data)
    await page.open(version)
    keep_fresh(lambda: load(visit.services, page.data), page.show, seconds=SECONDS)


class _Page:
    def __init__(self, visit: Visit, data: Found) -> None:
        self._visit, self.data, say = visit, data, visit.say
        self._head = page_head(say("gateway.tab_versions"), "", crumb=(say("place.gateway"), "/gateway"))
        gateway_tabs(visit, "/gateway/versions")
        with tag("div") as self._box, panel(say("gateway.tab_versions"), flush=True):
            columns = [
                column("version", say("column.version")),
                column("state", "", wide_only=True),
                column("actor", say("column.who")),
                column("reason", say("column.what"), grow=True),
                column("time", say("column.time"), end=True),
            ]
            self._table = Table(columns, label=say("gateway.tab_versions"), on_pick=self.open).classes("tame")
        with tag("div", "panel") as self._none:
            will = [say("changes.will_1"), say("changes.will_2")]
            empty(visit, icon_name="audit", title=say("changes.empty"), will=will, commands=[APPLY])
        self._drawer = Drawer(visit, self._closed)
        self.show(data)

    def show(self, data: Found) -> None:
        self.data = data
        self._box.set_visibility(bool(data.versions))
        self._none.set_visibility(not data.versions)
        self._head.sentence.show(self._sentence(data))
        self._table.show([self._row(version) for version in data.versions])

    def _sentence(self, data: Found) -> str:
        if not data.versions:
            return self._visit.say("changes.empty")
        return self._visit.say("changes.sentence", version=data.number, actor=data.versions[0].actor)

    def _row(self, version: Version) -> Row:
        now = version.number == self.data.number
        return {
            "id": str(version.number),
            "version": cell(str(version.number)),
            "state": badge_cell(self._visit.say("changes.in_force"), tone="good", icon_name="check")
            if now
            else cell(""),
            "actor": cell(version.actor),
            "reason": cell(_brief(version.reason), classes="soft", title=version.reason),
            "time": time_cell(version.created),
        }

    async def open(self, wanted: str) -> None:
        if not wanted.isdigit():
            return
        self._table.choose(wanted)
        ui.navigate.history.replace(f"/gateway/versions?version={wanted}")
        body = self._drawer.open(self._visit.say("changes.title", version=wanted))
        try:
            change = await run.io_bound(self._visit.services.provision.change, int(wanted))
        except HeadraceError as error:
            with body:
                problem(error.sentence())
            return
        if change is not None and not body.is_deleted:
            with body:
                self._draw(change)

    def _draw(self, change: Change) -> None:
        say, version = self._visit.say, change.version
        with tag("div", "row-flex wrap"):
            when(version.created, "soft")
            text("span", "", say("audit.by", actor=version.actor))
            if version.number != self.data.number and change.back:
                button(say("changes.go_back"), lambda: self._ask(change), kind="push small", icon_name="undo")
        text("p", "", _brief(version.reason))
        with tag("section"):
            text("h3", "", say("changes.changed"))
            show_diff(self._visit, change.lines, nothing=say("changes.nothing"))
        if version.number != self.data.number:
            with tag("section"):
                text("h3", "", say("changes.back"))
                show_diff(self._visit, change.back, nothing=say("changes.same"))

    def _ask(self, change: Change) -> None:
        visit, number = self._visit, change.version.number

        def told() -> None:
            toast(visit, visit.say("changes.went_back", version=number))
            self._drawer.close()
            self.show(load(visit.services))

        ask_with_diff(
            visit,
            title=visit.say("changes.ask_back", version=number),
            sentence=visit.say("changes.ask_back_means"),
            lines=change.back,
            yes=visit.say("changes.go_back"),
            act=lambda why: visit.services.configuration.roll_back(number, actor=visit.actor, reason=why),
            done=told,
        )

    def _closed(self) -> None:
        self._table.choose("")
        ui.navigate.history.replace("/gateway/versions")


def _brief(words: str) -> str:
    return words if len(words) <= 240 else f"{words[:239]}…"
