"""History: who changed what, when, why, and on what evidence; above it what waits for a second person.

Called by the shell. Decides nothing: reads the history and the requests, and composes parts. What is filtered stands in
the address; one entry is in the side drawer, so that the list stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from nicegui import ui

from headrace.console.pages.entry import show_entry
from headrace.console.pages.waiting import Waiting
from headrace.console.parts.button import button
from headrace.console.parts.drawer import Drawer
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head, panel
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.table import Row, Table, cell, column, time_cell
from headrace.console.parts.tag import choice, tag
from headrace.console.visit import Visit
from headrace.release.approvals import current
from headrace.store import approvals, audit, endpoints
from headrace.types.approval import Approval, ApprovalState
from headrace.types.history import AuditEntry, Wanted

if TYPE_CHECKING:
    from headrace.control.services import Services

PAGE = 100
KINDS = ("endpoint", "release", "stage", "alias", "approval", "webhook")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What stands in the address. `before`: entries older than this one."""

    endpoint: str = ""
    actor: str = ""
    kind: str = ""
    before: int = 0

    def address(self) -> str:
        values = {"endpoint": self.endpoint, "actor": self.actor, "kind": self.kind, "before": self.before}
        query = urlencode({name: value for name, value in values.items() if value})
        return f"/history?{query}" if query else "/history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    entries: tuple[AuditEntry, ...]
    more: bool
    actors: tuple[str, ...]
    endpoints: tuple[str, ...]
    waiting: tuple[Approval, ...]


def load(services: Services, filters: Filters) -> Found:
    now = services.clock.now()
    wanted = Wanted(
        endpoint=filters.endpoint,
        actor=filters.actor,
        action=f"{filters.kind}.*" if filters.kind else "",
        before=filters.before,
    )
    with services.database.read() as conn:
        entries = audit.search(conn, wanted, limit=PAGE + 1)
        asked = [current(one, now) for one in approvals.recent(conn, state=ApprovalState.PENDING)]
        return Found(
            entries=entries[:PAGE],
            more=len(entries) > PAGE,
            actors=audit.actors(conn),
            endpoints=tuple(e.name for e in endpoints.all(conn)),
            waiting=tuple(one for one in asked if one.state is ApprovalState.PENDING),
        )


async def show(visit: Visit, endpoint: str = "", actor: str = "", kind: str = "", before: str = "") -> None:
    ui.page_title(f"{visit.say('place.audit')} · Headrace")
    older = int(before) if before.isascii() and before.isdigit() and len(before) < 18 else 0
    filters = Filters(endpoint=endpoint, actor=actor, kind=kind if kind in KINDS else "", before=older)
    data = await first_look(lambda: load(visit.services, filters))
    if data is None:
        return
    page = _Page(visit, filters, data)
    keep_fresh(lambda: load(visit.services, filters), page.show, seconds=2.0)


class _Page:
    def __init__(self, visit: Visit, filters: Filters, data: Found) -> None:
        self._visit, self._filters, say = visit, filters, visit.say
        self._entries: dict[str, AuditEntry] = {}
        self._table: Table | None = None
        self._head = page_head(say("place.audit"), say("audit.sentence"))
        with tag("div", "stack"):
            self._waiting = Waiting(visit)
            if not data.entries and filters == Filters():
                self._draw_nothing()
                return
            self._draw_filters(data)
            with panel(say("audit.entries"), flush=True):
                columns = [
                    column("time", say("column.time")),
                    column("actor", say("column.actor"), wide_only=True),
                    column("action", say("column.action")),
                    column("subject", say("column.subject")),
                    column("detail", say("column.detail"), grow=True, wide_only=True),
                ]
                self._table = Table(columns, label=say("audit.entries"), on_pick=self._open)
            with tag("div", "row-flex"):
                self._older = button(say("audit.older"), self._go_older, kind="push")
        self._drawer = Drawer(visit, self._closed)
        self.show(data)

    def show(self, data: Found) -> None:
        self._waiting.show(data.waiting)
        count = self._visit.count("audit.waiting", len(data.waiting)) if data.waiting else ""
        self._head.sentence.show(count or self._visit.say("audit.sentence"), "candidate" if count else "")
        if self._table is None:
            return
        self._entries = {str(entry.id): entry for entry in data.entries}
        self._table.show([_row(entry) for entry in data.entries])
        self._older.set_visibility(data.more)

    def _draw_nothing(self) -> None:
        visit, say = self._visit, self._visit.say
        with tag("div", "panel"):
            empty(visit, icon_name="audit", title=say("audit.empty"), will=[say("audit.will_1"), say("audit.will_2")])

    def _draw_filters(self, data: Found) -> None:
        say, filters = self._visit.say, self._filters
        with tag("div", "row-flex wrap"):
            choice(
                {"": say("audit.all_endpoints"), **{name: name for name in data.endpoints}},
                filters.endpoint,
                lambda v: self._go(endpoint=v),
                label=say("column.endpoint"),
            )
            choice(
                {"": say("audit.all_actors"), **{name: name for name in data.actors}},
                filters.actor,
                lambda v: self._go(actor=v),
                label=say("column.actor"),
            )
            choice(
                {"": say("audit.all_kinds"), **{name: self._visit.name("audit.kind", name) for name in KINDS}},
                filters.kind,
                lambda v: self._go(kind=v),
                label=say("column.action"),
            )
            if filters != Filters():
                button(say("traces.clear"), lambda: ui.navigate.to("/history"), kind="ghost", icon_name="close")

    def _go(self, **changes: str) -> None:
        ui.navigate.to(replace(self._filters, before=0, **changes).address())

    def _go_older(self) -> None:
        oldest = min(entry.id for entry in self._entries.values())
        ui.navigate.to(replace(self._filters, before=oldest).address())

    def _open(self, entry_id: str) -> None:
        entry = self._entries.get(entry_id)
        if entry is not None and self._table is not None:
            self._table.choose(entry_id)
            with self._drawer.open(entry.action):
                show_entry(self._visit, entry)

    def _closed(self) -> None:
        if self._table is not None:
            self._table.choose("")


def _row(entry: AuditEntry) -> Row:
    reason = entry.about.reason if entry.about.reason not in entry.detail else ""
    return {
        "id": str(entry.id),
        "time": time_cell(entry.time),
        "actor": cell(entry.actor),
        "action": cell(entry.action, classes="mono"),
        "subject": cell(
            entry.about.endpoint or entry.about.model or entry.subject, classes="soft", title=entry.subject
        ),
        "detail": cell(entry.detail, sub=reason, classes="soft"),
    }
