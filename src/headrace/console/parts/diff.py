"""What a change of the gateway changes, line by line: a sign, what it is about, and the details. Called by pages.

Decides how added, changed and removed look: by sign and word, not by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.console.parts.tag import tag, text
from headrace.console.visit import Visit
from headrace.provision.diff import Line

SIGNS = {"add": ("+", "good"), "change": ("~", "candidate"), "remove": ("−", "bad"), "keep": ("=", "")}
SHOWN = 200  # lines


def show_diff(visit: Visit, lines: Sequence[Line], *, nothing: str) -> None:
    if not lines:
        text("p", "faint", nothing)
        return
    with tag("ul", "diff"):
        for line in lines[:SHOWN]:
            sign, tone = SIGNS[line.deed]
            with tag("li"):
                text("span", f"sign text-{tone}" if tone else "sign faint", sign, aria_hidden="true")
                with tag("div"):
                    text("span", "sr", visit.name("deed", line.deed))
                    text("span", "faint", visit.name("section", line.section))
                    text("span", "what", line.name)
                    if line.detail:
                        text("div", "mono soft", line.detail)
    if len(lines) > SHOWN:
        text("p", "faint small", visit.count("diff.more", len(lines) - SHOWN))
