"""One program: written down, tried live, compiled with labelled rows within a budget, measured, and put to work.

Called by the shell. Decides the order on the page, which is that of the work, and which version is the current one:
the live one, else the newest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from nicegui import ui

from headrace.console.drafting import Desk
from headrace.console.pages.asking import Asking
from headrace.console.pages.compiled import Result
from headrace.console.pages.compiling import Compiling as Choosing
from headrace.console.pages.defining import AsFile, Definition
from headrace.console.pages.labelled import Labelled
from headrace.console.parts.frame import page_head
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.tag import tag
from headrace.console.visit import Visit
from headrace.programs.drafts import Draft
from headrace.programs.orders import Compiling
from headrace.store import endpoints, versions

if TYPE_CHECKING:
    from headrace.control.services import Services

LOOK_SECONDS = 0.5
SETS = 30  # dataset versions that are offered


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """`serving`: endpoints of this model. `others`: all endpoints, whose reviews may teach."""

    draft: Draft
    current: str
    version: int
    serving: tuple[str, ...]
    others: tuple[str, ...]
    datasets: tuple[str, ...]


def load(services: Services, name: str) -> Data:
    draft = services.programs.drafts.get(name)
    with services.database.read() as conn:
        known = endpoints.all(conn)
        newest = max((found.version for found in versions.all(conn, name)), default=0)
    mine = [found for found in known if found.model == name]
    live = next((found.variant(found.policy.baseline) for found in mine), None)
    registered = f"models:/{name}/{newest}" if newest else ""
    return Data(
        draft=draft,
        current=live.model.uri if live else registered,
        version=newest,
        serving=tuple(found.name for found in mine),
        others=tuple(found.name for found in known),
        datasets=tuple(f"{found.name}@{found.number}" for found in services.datasets.all(limit=SETS)),
    )


def newest_of(services: Services, name: str) -> Compiling | None:
    return next((found for found in services.programs.recent() if found.model == name), None)


async def show(visit: Visit, name: str) -> None:
    name = unquote(name)
    ui.page_title(f"{name} · Headrace")
    data = await first_look(lambda: load(visit.services, name))
    if data is None:
        return
    desk = Desk(visit=visit, draft=data.draft, current=data.current)
    say = visit.say
    head = page_head(name, "", crumb=(say("place.programs"), "/programs"))
    with tag("div", "stack"):
        result = Result(desk, data.serving)
        with tag("div", "grid-2 builder"):
            Definition(desk)
            with tag("div", "stack"):
                Asking(desk)
                AsFile(desk)
        labelled = Labelled(desk, data.datasets, data.others)
        choosing = Choosing(desk, labelled)

    def look(found: Compiling | None) -> None:
        result.show(found)
        head.sentence.show(_sentence(visit, data, found), "candidate" if found and not found.phase.ended else "")

    look(newest_of(visit.services, name))
    keep_fresh(lambda: newest_of(visit.services, name), look, seconds=LOOK_SECONDS)
    await choosing.plan()


def _sentence(visit: Visit, data: Data, found: Compiling | None) -> str:
    if found is not None and not found.phase.ended:
        return visit.say("builder.sentence_compiling", optimizer=found.how.optimizer)
    if data.current:
        return visit.say("builder.sentence_live", uri=data.current)
    return visit.say("builder.sentence_new")
