"""Ask before a change of the gateway: the whole diff, a reason, yes. Called by the versions page and the editor.

As confirm.py, with as many lines as there are. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from headrace.console.parts.confirm import ask_reason
from headrace.console.parts.dialog import asking
from headrace.console.parts.diff import show_diff
from headrace.console.parts.tag import tag
from headrace.console.visit import Visit
from headrace.provision.diff import Line


def ask_with_diff(
    visit: Visit,
    *,
    title: str,
    sentence: str,
    lines: Sequence[Line],
    yes: str,
    act: Callable[[str], Any],
    done: Callable[[], None],
) -> None:
    """`act` gets the reason and runs in a thread; `done` runs afterwards, in the page."""
    reason = {"text": ""}
    with asking(visit, title=title, sentence=sentence, yes=yes, act=lambda: act(reason["text"]), done=lambda _: done()):
        with tag("div", "scrolls"):
            show_diff(visit, lines, nothing="")
        ask_reason(visit, reason)
