"""Releases: the list. Called by the shell. Decides nothing: reads releases and composes parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from headrace.console.pages.overview import release_row
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head, panel
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.table import Table, column
from headrace.console.parts.tag import tag
from headrace.console.visit import Visit
from headrace.store import releases
from headrace.types.release import Release

if TYPE_CHECKING:
    from headrace.control.services import Services

SHOWN = 100


def load(services: Services, endpoint: str | None) -> tuple[Release, ...]:
    with services.database.read() as conn:
        return tuple(releases.recent(conn, limit=SHOWN, endpoint=endpoint))


async def show(visit: Visit, endpoint: str | None = None) -> None:
    say = visit.say
    ui.page_title(f"{say('place.releases')} · Headrace")
    data = await first_look(lambda: load(visit.services, endpoint))
    if data is None:
        return
    going = sum(not release.phase.ended for release in data)
    head = page_head(say("place.releases"), visit.count("releases.sentence", going))
    if not data:
        with tag("div", "panel"):
            empty(
                visit,
                icon_name="releases",
                title=say("releases.empty"),
                will=[say("releases.will_1"), say("releases.will_2"), say("releases.will_3")],
                commands=["headrace release digits --candidate models:/digits/2 --canary"],
            )
        return
    with panel(say("place.releases"), flush=True):
        table = Table(
            [
                column("endpoint", say("column.endpoint")),
                column("baseline", say("column.baseline"), wide_only=True),
                column("candidate", say("column.candidate")),
                column("phase", say("column.phase")),
                column("share", say("column.share"), wide_only=True),
                column("reason", say("column.reason"), grow=True, wide_only=True),
                column("took", say("column.took"), end=True, wide_only=True),
                column("time", say("column.started"), end=True),
            ],
            label=say("place.releases"),
            links=True,
        )

    def refresh(found: tuple[Release, ...]) -> None:
        running = sum(not release.phase.ended for release in found)
        head.sentence.show(visit.count("releases.sentence", running))
        table.show([release_row(visit, release) for release in found])

    refresh(data)
    keep_fresh(lambda: load(visit.services, endpoint), refresh)
