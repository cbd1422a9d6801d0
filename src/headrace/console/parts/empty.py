"""A page or a list that has nothing yet: what it will show, and the command that starts it, if there is one today.

Called by pages. Decides nothing; the words are the catalogue's.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.console.parts.button import copy_button
from headrace.console.parts.icon import icon
from headrace.console.parts.tag import tag, text
from headrace.console.visit import Visit


def empty(
    visit: Visit,
    *,
    icon_name: str,
    title: str,
    will: Sequence[str] = (),
    hint: str = "",
    commands: Sequence[str] = (),
) -> None:
    with tag("div", "empty"):
        icon(icon_name, "big")
        text("h2", "", title)
        if will:
            with tag("ul", "will"):
                for line in will:
                    with tag("li"):
                        icon("arrow")
                        text("span", "", line)
        if hint:
            text("p", "soft", hint)
        for command in commands:
            with tag("div", "command"):
                text("code", "code", command)
                copy_button(visit, visit.say("part.copy_command"), command)
