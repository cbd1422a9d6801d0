"""Audit: who changed what, when. Called by the shell. Decides nothing: reads the audit rows, and composes parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head, panel
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.table import Row, Table, cell, column, time_cell
from headrace.console.parts.tag import tag
from headrace.console.visit import Visit
from headrace.store import audit
from headrace.types.history import AuditEntry

if TYPE_CHECKING:
    from headrace.control.services import Services

SHOWN = 200


def load(services: Services) -> tuple[AuditEntry, ...]:
    with services.database.read() as conn:
        return tuple(audit.entries(conn, limit=SHOWN))


async def show(visit: Visit) -> None:
    say = visit.say
    ui.page_title(f"{say('place.audit')} · Headrace")
    data = await first_look(lambda: load(visit.services))
    if data is None:
        return
    page_head(say("place.audit"), say("audit.sentence"))
    if not data:
        with tag("div", "panel"):
            empty(visit, icon_name="audit", title=say("audit.empty"), will=[say("audit.will_1"), say("audit.will_2")])
        return
    with panel(say("audit.entries"), flush=True):
        table = Table(
            [
                column("time", say("column.time")),
                column("actor", say("column.actor"), wide_only=True),
                column("action", say("column.action")),
                column("subject", say("column.subject")),
                column("detail", say("column.detail"), grow=True, wide_only=True),
            ],
            label=say("audit.entries"),
        )

    def refresh(found: tuple[AuditEntry, ...]) -> None:
        table.show([_row(entry) for entry in found])

    refresh(data)
    keep_fresh(lambda: load(visit.services), refresh, seconds=2.0)


def _row(entry: AuditEntry) -> Row:
    return {
        "id": str(entry.id),
        "time": time_cell(entry.time),
        "actor": cell(entry.actor),
        "action": cell(entry.action, classes="mono"),
        "subject": cell(entry.subject, classes="mono soft"),
        "detail": cell(entry.detail, classes="soft"),
    }
