"""Datasets: every version that was made from what people said, newest first.

Called by the shell. Decides nothing: reads the versions and composes parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from headrace.console.parts import numbers
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head, panel
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.table import Row, Table, cell, column, time_cell
from headrace.console.parts.tag import tag
from headrace.console.visit import Visit
from headrace.types.dataset import DatasetVersion, Split

if TYPE_CHECKING:
    from headrace.control.services import Services


def load(services: Services) -> tuple[DatasetVersion, ...]:
    return services.datasets.all()


async def show(visit: Visit) -> None:
    say = visit.say
    ui.page_title(f"{say('place.datasets')} · Headrace")
    data = await first_look(lambda: load(visit.services))
    if data is None:
        return
    page_head(say("place.datasets"), visit.count("datasets.sentence", len(data)))
    if not data:
        with tag("div", "panel"):
            empty(
                visit,
                icon_name="datasets",
                title=say("datasets.empty"),
                will=[say("datasets.will_1"), say("datasets.will_2"), say("datasets.will_3")],
                hint=say("datasets.hint"),
                commands=["headrace dataset make MODEL"],
            )
        return
    with panel(say("datasets.versions"), flush=True):
        table = Table(
            [
                column("name", say("datasets.dataset")),
                column("rows", say("datasets.rows"), end=True),
                column("corrected", say("datasets.corrected"), end=True),
                *(column(split, visit.name("split", split), end=True, wide_only=True) for split in Split),
                column("content", say("datasets.id"), wide_only=True),
                column("created", say("column.created"), end=True),
            ],
            label=say("datasets.versions"),
            on_pick=lambda name: ui.navigate.to(f"/datasets/{name}"),
        )

    def refresh(found: tuple[DatasetVersion, ...]) -> None:
        table.show([_row(version) for version in found])

    refresh(data)
    keep_fresh(lambda: load(visit.services), refresh, seconds=5.0)


def _row(version: DatasetVersion) -> Row:
    name = f"{version.name}@{version.number}"
    counts = {split.value: cell(numbers.count(version.count(split))) for split in Split}
    return {
        "id": name,
        "content": cell(version.id[:15], classes="mono soft", title=version.id),
        "name": cell(name, href=f"/datasets/{name}"),
        "rows": cell(numbers.count(version.rows)),
        "corrected": cell(numbers.count(version.corrected)),
        "created": time_cell(version.created),
        **counts,
    }
