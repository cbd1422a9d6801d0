"""Rows of upstream models: whether they answer, how soon, and why not. Called by the gateway page. Decides nothing."""

from __future__ import annotations

from typing import Any

from headrace.console.parts import numbers
from headrace.console.parts.table import Row, badge_cell, cell, column
from headrace.console.visit import Visit
from headrace.types.gateway import Provider

STATES = {
    "good": ("good", "check"),
    "failing": ("candidate", "warn"),
    "alone": ("bad", "pause"),
    "refused": ("bad", "key"),
    "unasked": ("", "hold"),
    "idle": ("", "close"),
}


def upstream_columns(visit: Visit) -> list[dict[str, str]]:
    say = visit.say
    return [
        column("provider", say("column.provider")),
        column("model", say("column.model")),
        column("state", say("column.status")),
        column("inside", say("column.inside"), end=True, wide_only=True),
        column("first", say("column.first_byte"), end=True),
        column("calls", say("column.attempts"), end=True, wide_only=True),
        column("answered", say("column.answered"), end=True, wide_only=True),
        column("failed", say("column.failed_why"), wide_only=True),
    ]


def state_of(told: dict[str, Any]) -> str:
    if told["key_refused"]:
        return "refused"
    if told["left_alone"]:
        return "alone"
    if told["failures_in_a_row"]:
        return "failing"
    return "good" if told["calls"] else "unasked"


def row_of_upstream(visit: Visit, provider: Provider | None, told: dict[str, Any]) -> Row:
    """`provider`: None for one that the configuration has no longer, and data planes still ask."""
    state = state_of(told)
    tone, icon_name = STATES[state]
    attempts, answered = sum(told["calls"].values()), told["calls"].get("ok", 0)
    failed = sorted(((n, why) for why, n in told["calls"].items() if why != "ok"), reverse=True)
    words = ", ".join(f"{visit.name('failure', why)} {numbers.count(n)}" for n, why in failed)
    return {
        "id": f"{told['provider']}/{told['model']}",
        "provider": cell(told["provider"], title=provider.url if provider else ""),
        "model": cell(told["model"], title=told["model"]),
        "state": badge_cell(visit.name("upstream_state", state), tone=tone, icon_name=icon_name)
        | {"title": told["last_failure"] or ""},
        "inside": cell(numbers.count(told["inside"])),
        "first": cell(numbers.milliseconds(told["first_byte_ms"] or None)),
        "calls": cell(numbers.count(attempts)),
        "answered": cell(numbers.percent(answered, attempts)),
        "failed": cell(words or numbers.NOTHING, classes="soft", title=words),
    }


def row_of_provider(visit: Visit, provider: Provider) -> Row:
    """One that no version of a chat endpoint names."""
    tone, icon_name = STATES["idle"]
    return {
        "id": provider.name,
        "provider": cell(provider.name, title=provider.url),
        "model": cell(numbers.NOTHING),
        "state": badge_cell(visit.name("upstream_state", "idle"), tone=tone, icon_name=icon_name),
    } | {name: cell(numbers.NOTHING) for name in ("inside", "first", "calls", "answered", "failed")}
