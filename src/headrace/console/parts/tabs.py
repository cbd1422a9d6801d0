"""Links between the parts of one place, such as the gateway's keys and versions. Called by pages that have several.

Decides nothing; each part has an address of its own, so that a tab is a link and the keyboard finds it.
"""

from __future__ import annotations

from collections.abc import Mapping

from headrace.console.parts.tag import link, tag, text


def tabs(labels: Mapping[str, str], here: str, *, title: str) -> None:
    """`labels` by address."""
    with tag("nav", "tabs", aria_label=title):
        for address, label in labels.items():
            with link(address, "here" if address == here else "", aria_current="page" if address == here else None):
                text("span", "", label)
