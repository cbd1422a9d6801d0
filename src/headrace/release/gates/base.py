"""What a gate is: it looks at a trial of the candidate and says whether it may have traffic.

Called by run.py. A new gate is one file in this folder with one line `register("name", gate)`, one row in
docs/gates.md and one in tests/unit/release/test_gates.py. Decides nothing itself.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import msgspec
import numpy as np

from headrace.types.errors import HeadraceError
from headrace.types.gate import GateResult, Gates, Outcome
from headrace.types.model import Signature, TensorSpec

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = dict[str, Array]  # by tensor; the first dimension is the rows

_SHOWN = 2000  # characters of a row that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call and its answer. Either `outputs` or `error`."""

    outputs: Arrays
    ms: float = 0.0  # accepted → answer ready, inside the data plane
    error: HeadraceError | None = None
    trace_id: str = ""


class Planes(Protocol):
    """The data planes, as far as gates need them: control/planes.py."""

    def ask(self, endpoint: str, variant: str, arrays: Mapping[str, Array], *, specs: tuple[TensorSpec, ...]) -> Asked:
        """Through the data plane, with the variant forced and the call marked as a gate's."""
        ...

    def memory_mb(self, model: str, version: int) -> int | None:
        """What loading this version took, in the plane where it took most. None: no plane says."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`number` counts from 1; `origin` says where it is from: a trace id, or a line of a file."""

    number: int
    origin: str
    arrays: Arrays  # of one row
    expected: Any = None  # the right answer, when it is known

    def shown(self) -> str:
        values: Any = {name: array[0].tolist() for name, array in self.arrays.items()}
        if len(values) == 1:
            values = next(iter(values.values()))
        return msgspec.json.encode(values, enc_hook=str).decode()[:_SHOWN]

    def named(self) -> str:
        return f"row {self.number} ({self.origin})"


class Trial(Protocol):
    """trial.py: everything that gates may ask, each question once for all of them."""

    names: tuple[str, str]  # of the baseline and the candidate
    wanted: Gates
    signature: Signature  # what callers see, and so what both variants take and give here
    rows: tuple[Row, ...]
    misfits: tuple[str, ...]  # rows that are none by that signature, in words
    silent: str  # why the candidate cannot be asked, in words; empty: it can

    def candidate(self) -> tuple[Asked, ...]:
        """Its answer to each row, alone."""
        ...

    def baseline(self) -> tuple[Asked, ...]: ...

    def together(self, rows: tuple[Row, ...]) -> Asked:
        """The candidate's answer to these rows in one call."""
        ...

    def again(self, row: Row) -> Asked:
        """The candidate's answer to a row that it has answered before."""
        ...

    def answers(self) -> tuple[Row, ...]:
        """Rows whose right answer is known. Raises BadInput when the file cannot be used."""
        ...

    def memory_mb(self) -> int | None: ...

    def facts(self) -> dict[str, Any]:
        """What a policy decides by: the release, both versions, and what the gates before it said."""
        ...


Gate = Callable[[Trial], GateResult]

_GATES: dict[str, Gate] = {}


def register(name: str, gate: Gate) -> None:
    _GATES[name] = gate


def all_gates() -> dict[str, Gate]:
    """By name, in the order in which they run. Importing the folder's modules registers them."""
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
    return {name: _GATES[name] for name in sorted(_GATES, key=_place)}


ORDER = ("data", "shapes", "finite", "determinism", "batch", "answers", "parity", "latency", "memory", "policy")


def _place(name: str) -> tuple[int, str]:
    """Gates of others come last but for the policy, which hears what all of them said."""
    last = len(ORDER) - 1
    return (ORDER.index(name) * 2, name) if name in ORDER else (last * 2 - 1, name)


def passed(name: str, detail: str) -> GateResult:
    return GateResult(name=name, outcome=Outcome.PASSED, detail=detail)


def failed(name: str, detail: str, row: Row | None = None) -> GateResult:
    return GateResult(name=name, outcome=Outcome.FAILED, detail=detail, row=row.shown() if row else "")


def noted(name: str, detail: str, row: Row | None = None) -> GateResult:
    return GateResult(name=name, outcome=Outcome.NOTED, detail=detail, row=row.shown() if row else "")


def skipped(name: str, why: str) -> GateResult:
    return GateResult(name=name, outcome=Outcome.SKIPPED, detail=why)


def unanswerable(name: str, trial: Trial) -> GateResult | None:
    """The result of a gate that needs answers, when there can be none."""
    if trial.silent:
        return skipped(name, trial.silent)
    if not trial.rows:
        return skipped(name, "no rows: nothing was captured, and the version brings none of its own")
    return None
