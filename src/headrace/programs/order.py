"""What goes to the compiling process and what comes back. Pure; both sides import it, so it imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headrace.types.program import Compilation

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`folder`: the package as it is so far. Rows have the program's fields, and maybe `feedback`, in words. `state`:
    what a version before was compiled to; the new one is compared with that."""

    folder: str
    how: Compilation
    train: tuple[Row, ...]
    valid: tuple[Row, ...]
    test: tuple[Row, ...]
    calls: int  # the optimizer may make
    money: float  # that may be spent before the last evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`before` and `after`: a score for each row of the test, and the answers that got them (None: there was none).
    `found`: there is a state that may be kept."""

    found: bool = False
    state: dict[str, Any] = field(default_factory=dict)
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    answers_before: tuple[Any, ...] = ()
    answers_after: tuple[Any, ...] = ()
    errors: int = 0  # rows that got no answer, which count as 0
    error: str = ""  # the first of them
    demos: int = 0
    stopped: str = ""
    refused: str = ""
