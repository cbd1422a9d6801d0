"""Settings: what this platform runs with, read only. Called by the shell.

Decides nothing: reads the settings. They are changed in headrace.yaml or the environment; secrets show masked.
"""

from __future__ import annotations

from dataclasses import MISSING, fields

from nicegui import ui

from headrace.base.secret import Secret
from headrace.base.settings import PREFIX, Settings
from headrace.console.parts.frame import page_head, panel
from headrace.console.parts.table import Row, Table, cell, column
from headrace.console.visit import Visit

HIDDEN = ("api_keys", "database_url")  # may carry a password or a key in clear


async def show(visit: Visit) -> None:
    say = visit.say
    ui.page_title(f"{say('place.settings')} · Headrace")
    page_head(say("place.settings"), say("settings.sentence"))
    with panel(say("place.settings"), flush=True):
        table = Table(
            [
                column("name", say("column.setting")),
                column("value", say("column.value")),
                column("variable", say("column.variable"), wide_only=True),
                column("meaning", say("column.meaning"), grow=True, wide_only=True),
            ],
            label=say("place.settings"),
        )
        table.show(rows(visit, visit.services.settings))


def rows(visit: Visit, settings: Settings) -> list[Row]:
    made = []
    for field in fields(Settings):
        value = getattr(settings, field.name)
        changed = field.default is not MISSING and str(value) != str(field.default)
        shown = str(value)
        note = visit.say("settings.changed") if changed else ""
        if field.name in HIDDEN or isinstance(value, Secret):
            shown = visit.say("settings.set") if value else ""
        made.append(
            {
                "id": field.name,
                "name": cell(field.name, classes="mono"),
                "value": cell(shown or visit.say("settings.empty"), sub=note),
                "variable": cell(PREFIX + field.name.upper(), classes="mono soft"),
                "meaning": cell(field.metadata["meaning"], classes="soft"),
            }
        )
    return made
