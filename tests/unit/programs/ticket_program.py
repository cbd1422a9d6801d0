"""A program for the tests of this room, its rows, and what the language model that it asks says."""

from __future__ import annotations

import json
from typing import Any

from headrace.programs.order import Row

TICKET: dict[str, Any] = {
    "name": "ticket",
    "lm": "fast",
    "instructions": "Say which team answers this mail.",
    "inputs": [{"name": "text", "description": "the mail"}],
    "outputs": [{"name": "team", "choices": ["billing", "technical"]}],
}
ROWS: tuple[Row, ...] = tuple(
    {"text": f"mail {n} about {'money' if n % 2 else 'a crash'}", "team": "billing" if n % 2 else "technical"}
    for n in range(40)
)


def learns(body: dict[str, Any]) -> str:
    """Right when it was shown examples; without any it always says billing."""
    shown = len(body["messages"]) > 2
    crash = "crash" in str(body["messages"][-1]["content"])
    return json.dumps({"team": "technical" if shown and crash else "billing"})
