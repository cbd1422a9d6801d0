"""A secret that was just made: shown this once, copied, and kept by whoever asked for it. Called by dialogs.

Decides that it stands by itself, over whatever it was asked for in, and that nothing keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from headrace.console.parts.button import button, copy_button
from headrace.console.parts.tag import tag, text
from headrace.console.visit import Visit


def show_secrets(visit: Visit, title: str, sentence: str, secrets: Sequence[tuple[str, str]], *, kept: str) -> None:
    """`secrets`: a label (empty for one alone) and the secret. `kept` is what the button says."""
    with ui.context.client.layout, ui.dialog().props("persistent") as dialog, tag("div", "dialog"):
        text("h2", "", title)
        text("p", "soft", sentence)
        for label, secret in secrets:
            if label:
                text("span", "label faint small", label)
            with tag("div", "command"):
                text("code", "code", secret)
                copy_button(visit, visit.say("part.copy_command"), secret)
        with tag("div", "feet"):
            button(kept, dialog.close, kind="primary")
    dialog.on("hide", dialog.delete)
    dialog.open()
