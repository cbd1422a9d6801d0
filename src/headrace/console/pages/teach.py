"""The pages that have nothing to show yet: what each will show, and the command that starts it if there is one today.

Called by the shell for every place of the map that is marked `later`. Decides nothing; the words are the catalogue's.
"""

from __future__ import annotations

from nicegui import ui

from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head
from headrace.console.parts.tag import tag
from headrace.console.visit import Visit

LINES = ("will_1", "will_2", "will_3")


async def show(visit: Visit, name: str) -> None:
    title = visit.name("place", name)
    ui.page_title(f"{title} · Headrace")
    page_head(title, visit.name("teach", f"{name}.sentence"))
    with tag("div", "panel"):
        empty(
            visit,
            icon_name=name,
            title=visit.say("teach.title"),
            will=[visit.name("teach", f"{name}.{line}") for line in LINES],
            hint=visit.name("teach", f"{name}.today"),
            commands=commands(visit, name),
        )


def commands(visit: Visit, name: str) -> list[str]:
    """What exists today, and nothing else."""
    url = visit.services.planes.url
    return {
        "monitor": [f"curl {url}/metrics"],
        "compute": ["headrace status"],
    }.get(name, [])
