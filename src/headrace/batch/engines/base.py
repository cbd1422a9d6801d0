"""What an engine is: it takes blocks, has them scored somewhere, and gives the parts back in the order of the blocks.

Called by run.py. An engine is one file and one row in ENGINES; tests/contract/test_engines.py holds all to the same
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from threading import Event
from typing import Protocol

from headrace.batch.score import Worker
from headrace.store.rowfile import Rows
from headrace.store.scored import Part
from headrace.types.errors import HeadraceError
from headrace.types.job import EngineName

OnWait = Callable[[HeadraceError], None]


class Engine(Protocol):
    def run(self, blocks: Iterator[Rows], worker: Worker, *, stop: Event, on_wait: OnWait) -> Iterator[Part]:
        """Holds a bounded number of blocks at once. Once `stop` is set it takes no more, and ends what it has."""
        ...


ENGINES: dict[EngineName, str] = {EngineName.LOCAL: "local", EngineName.RAY: "ray"}


def engine(name: EngineName, *, concurrency: int) -> Engine:
    """Raises Unavailable with the install hint when its packages are not there."""
    module = import_module(f"headrace.batch.engines.{ENGINES[name]}")
    made: Engine = module.make(concurrency)
    return made
