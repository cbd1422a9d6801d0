"""What the child that asks a model is told, and what it tells: the files between steps/evaluate.py and asked.py."""

from __future__ import annotations

from typing import Any, Final

import msgspec

ASK: Final = "ask.json"
ANSWERS: Final = "answers.json"
TIMED: Final = 40  # single rows


class Ask(msgspec.Struct):
    model: str
    sets: list[str]
    timed: int = TIMED


class Answers(msgspec.Struct):
    """By set, in the order of its rows. `row_ms`: the median of single rows."""

    sets: dict[str, list[Any]]
    row_ms: float
    calls: int = 0  # of language models
    money: float = 0.0
