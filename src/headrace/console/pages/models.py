"""Models: every model version that the registry has, its stage, its metrics, its checksum.

Called by the shell. Decides nothing: reads the snapshot of the registry that sync() keeps, and composes parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from headrace.console.parts import numbers
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head, panel
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.states import stage_cell
from headrace.console.parts.table import Row, Table, cell, column, time_cell
from headrace.console.parts.tag import tag
from headrace.console.visit import Visit
from headrace.store import versions
from headrace.types.model import ModelVersion

if TYPE_CHECKING:
    from headrace.control.services import Services


def load(services: Services) -> tuple[ModelVersion, ...]:
    with services.database.read() as conn:
        return tuple(versions.all(conn))


async def show(visit: Visit) -> None:
    say = visit.say
    ui.page_title(f"{say('place.models')} · Headrace")
    data = await first_look(lambda: load(visit.services))
    if data is None:
        return
    page_head(say("place.models"), visit.count("models.sentence", len(data)))
    if not data:
        with tag("div", "panel"):
            empty(
                visit,
                icon_name="models",
                title=say("models.empty"),
                will=[say("models.will_1"), say("models.will_2"), say("models.will_3")],
                hint=say("models.hint"),
                commands=["headrace demo"],
            )
        return
    with panel(say("models.versions"), flush=True):
        table = Table(
            [
                column("name", say("column.model_version")),
                column("stage", say("column.stage")),
                column("aliases", say("column.aliases"), wide_only=True),
                column("flavor", say("column.flavor"), wide_only=True),
                column("metrics", say("column.metrics"), grow=True, wide_only=True),
                column("sha", say("column.checksum"), wide_only=True),
                column("created", say("column.created"), end=True),
            ],
            label=say("models.versions"),
        )

    def refresh(found: tuple[ModelVersion, ...]) -> None:
        table.show([_row(visit, version) for version in sorted(found, key=lambda v: (v.name, -v.version))])

    refresh(data)
    keep_fresh(lambda: load(visit.services), refresh, seconds=5.0)


def _row(visit: Visit, version: ModelVersion) -> Row:
    metrics = [f"{name} {numbers.scalar(value)}" for name, value in sorted((version.metrics or {}).items())]
    return {
        "id": version.uri,
        "name": cell(f"{version.name} {version.version}", title=version.uri),
        "stage": stage_cell(visit, version.stage),
        "aliases": cell(", ".join(f"@{alias}" for alias in version.aliases)),
        "flavor": cell(version.flavor),
        "metrics": cell(" · ".join(metrics[:4]), classes="soft"),
        "sha": cell(version.sha256[:12], classes="mono soft", title=version.sha256),
        "created": time_cell(version.created),
    }
