"""What a way to compile is: what it needs, what it costs, and how DSPy is told to do it.

Called by registry.py, and by child/compile.py (make). A new one is a file in this folder with an OPTIMIZER, its name
in types/program.py, and a row in docs/programs.md. DSPy is imported in `make` alone, which runs in the compiling
process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.types.errors import BadInput
from headrace.types.program import OptimizerName


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What an optimizer is given to work with. Examples are dspy.Example; `metric` takes (example, prediction, trace);
    `feedback` takes what GEPA's does, and says in words what was wrong."""

    student: Any
    train: list[Any]
    valid: list[Any]
    metric: Callable[..., Any]
    feedback: Callable[..., Any]
    threshold: float  # from which on an answer is good enough to be shown
    settings: Mapping[str, Any]
    seed: int
    threads: int
    calls: int  # that may be made
    per_row: int  # calls that one run of the program makes, about
    lm: Any
    reflection: Any  # a language model that thinks about mistakes


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """`settings`: names that `make` knows, with what they are when nothing is said. `calls` estimates them from
    (rows to train on, rows to validate on, calls of one run, settings)."""

    name: OptimizerName
    does: str
    needs: str
    costs: str
    least: int  # rows to train on
    settings: Mapping[str, Any]
    calls: Callable[[int, int, int, Mapping[str, Any]], int]
    make: Callable[[Task], Any]  # runs it, returns the compiled module
    package: str = ""  # that must be installed besides DSPy

    def with_defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Raises BadInput for a name it does not know, or a value of another kind."""
        for name, value in given.items():
            if name not in self.settings:
                allowed = ", ".join(self.settings) or "none"
                raise BadInput(
                    f"{self.name.value} has no setting {name!r}; it has: {allowed}", field=f"settings.{name}"
                )
            usual = self.settings[name]
            if isinstance(value, bool) != isinstance(usual, bool) or not isinstance(
                value, (int, float) if isinstance(usual, (int, float)) else type(usual)
            ):
                raise BadInput(
                    f"settings.{name} is {value!r}; allowed: {type(usual).__name__}", field=f"settings.{name}"
                )
        return {**self.settings, **given}
