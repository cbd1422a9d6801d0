"""The ways to compile there are. Importing the folder's modules registers them; none of them imports DSPy by that."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from headrace.programs.optimizers.base import Optimizer
from headrace.types.program import OptimizerName


@cache
def optimizers() -> dict[OptimizerName, Optimizer]:
    """In the order in which one tries them: the cheapest first."""
    package = __name__.rpartition(".")[0]
    found = {}
    for module in pkgutil.iter_modules(import_module(package).__path__):
        made = getattr(import_module(f"{package}.{module.name}"), "OPTIMIZER", None)
        if made is not None:
            found[made.name] = made
    return {name: found[name] for name in OptimizerName}
