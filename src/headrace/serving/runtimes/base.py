"""What a runtime is: it turns a package folder into a model, and a model turns inputs into outputs.

Called by fleet.py (load, warm, close) and run.py (run). A new runtime is one file in this folder with one line
`register(RuntimeKind.…, factory)`, one row in tests/contract/test_runtimes.py and one in docs/design/data-plane.md.
Decides nothing about traffic; ignores JSON (codec.py has made arrays of it).
"""

from __future__ import annotations

import math
import pkgutil
from asyncio import Future
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.serving.lm import Aliases
from headrace.types.errors import ModelRefused
from headrace.types.model import Package, RuntimeKind
from headrace.types.program import Usage
from headrace.types.step import Step

Array = NDArray[Any]
Outputs = list[Array]  # in the order of the signature's outputs
Opened = Callable[
    [dict[str, Array], int], dict[str, Array]
]  # in a model host: arrays by name and rows → answers by name


@dataclass(slots=True)
class Inputs:
    """Rows ready to run: one array per input of the signature; or, for a model that asks for it, one matrix [rows, k]
    with the signature's columns in order."""

    rows: int
    arrays: dict[str, Array]
    matrix: Array | None = None
    deadline: float = math.inf  # on the event loop's clock: when no caller waits any more
    travels: dict[str, str] | None = None  # headers for a service elsewhere
    trace: str = ""  # id of the call, for a program, whose questions name it
    spent: Usage | None = None  # set by a model that asked language models for its answer
    steps: Sequence[Step] = ()  # and what it did for it; times from when it was called
    hear: Callable[[str], None] | None = None  # who wants the first output's text as it is written, of a single row
    stop: Callable[[], object] | None = None  # set by a model that can be told that nobody waits any more

    def part(self, start: int, end: int) -> Inputs:
        """Some of the rows; they share memory with these."""
        end = min(end, self.rows)
        matrix = None if self.matrix is None else self.matrix[start:end]
        return Inputs(end - start, {name: array[start:end] for name, array in self.arrays.items()}, matrix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a model wants its inputs, so that JSON is decoded into that and not converted again.

    `matrix`: the element type of one matrix of all columns, instead of named arrays. `dtypes`: by input, where it is
    another than the signature's (a graph that computes in single precision). `unicode`: texts that are not UTF-8
    cannot be run.
    """

    matrix: np.dtype[Any] | None = None
    dtypes: dict[str, np.dtype[Any]] = field(default_factory=dict)
    unicode: bool = False


class Model(Protocol):
    """A loaded package."""

    form: Form

    @property
    def instances(self) -> int:
        """How many calls can run at the same time."""
        ...

    def quick(self, rows: int) -> bool:
        """Whether run() answers such a call at once, in less time than handing it over would take."""
        ...

    async def scale(self, instances: int) -> None:
        """So many processes of its own from now on; 0 leaves it as it is. Nothing to do for a model in this process.
        Raises ModelRefused when one more does not get ready."""
        ...

    async def warm(self, inputs: Inputs) -> Outputs:
        """Run real rows until the speed is known, and return what they gave."""
        ...

    def run(self, inputs: Inputs) -> Outputs | Future[Outputs]:
        """At once when `quick`; else a future. Called for `instances` calls at a time at most. Work that can be ended
        is ended a moment after the inputs' deadline."""
        ...

    async def close(self) -> None: ...


class Runtime(Protocol):
    async def load(self, folder: Path, package: Package) -> Model:
        """Raises ModelRefused. Runs beside live traffic, so nothing here may hold the event loop."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a runtime may use of the process it lives in."""

    run: Path  # folder for what means nothing after the process
    logs: Path
    report: Callable[[str, str], None]  # (event name, detail): host.restarted
    aliases: Aliases | None = None  # of language models


Factory = Callable[[Surroundings], Runtime]
_FACTORIES: dict[RuntimeKind, Factory] = {}


def register(kind: RuntimeKind, factory: Factory) -> None:
    _FACTORIES[kind] = factory


def build_runtimes(surroundings: Surroundings) -> dict[RuntimeKind, Runtime]:
    """One of each registered kind. Importing the folder's modules registers them."""
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
    return {kind: factory(surroundings) for kind, factory in _FACTORIES.items()}


PICKLES = (".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill", ".pt", ".pth")


def refuse_pickles(package: Package) -> None:
    """Unpickling runs whatever code is in the file: never in a process that has keys and everyone's traffic."""
    for file in package.files:
        if file.path.lower().endswith(PICKLES):
            raise ModelRefused(
                f"package {package.id[:12]} of {package.model}/{package.version} holds {file.path!r}, which needs "
                f"unpickling; runtime {package.runtime.value!r} runs inside the data plane",
                field="package",
                hint="package it for the pyfunc runtime: it unpickles in a model host without secrets",
            )
