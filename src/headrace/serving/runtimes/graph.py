"""A graph of tensors in this process: what onnx.py and openvino.py have in common.

Decides how the signature's inputs reach the graph's, and by measurement whether a call runs on the event loop or in a
thread: a hand-over costs some 60 µs and a lock fight, so a model that answers faster than a few of those is run where
it is called. Ignores which library runs the graph.
"""

from __future__ import annotations

import asyncio
import os
import time
from abc import ABC, abstractmethod
from asyncio import Future
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.serving.runtimes.base import Array, Form, Inputs, Outputs
from headrace.types.errors import ModelRefused
from headrace.types.model import Layout, Signature

INLINE_SECONDS = 300e-6  # the longest that one call may hold the event loop
_ROUNDS = 7  # of warm-up; the median is taken
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Node:
    """An input of a graph."""

    name: str
    dtype: np.dtype[Any]
    rank: int


@dataclass(frozen=True, slots=True)
class Feed:
    """One input of the graph: where its values come from, and the type and rank that it wants."""

    name: str
    source: str
    dtype: np.dtype[Any]
    column: bool  # wants [rows, 1] where the signature has [rows]


class GraphModel(ABC):
    """`nodes` and `outputs`: what the graph takes and gives. `pool`: of its runtime, shared by its models."""

    def __init__(
        self, nodes: Sequence[Node], outputs: Sequence[str], signature: Signature, pool: ThreadPoolExecutor
    ) -> None:
        self._outputs = output_names(outputs, signature)
        one = signature.layout is Layout.COLUMNS and len(nodes) == 1 and nodes[0].rank == 2
        wide = one and (len(signature.inputs) > 1 or nodes[0].name != signature.inputs[0].name)
        self._matrix_name = nodes[0].name
        self._feeds = () if wide else feeds(nodes, signature)
        self.form = Form(
            matrix=nodes[0].dtype if wide else None,
            dtypes={feed.source: feed.dtype for feed in self._feeds if feed.dtype.kind == "f"},
            unicode=True,
        )
        self.instances = max(1, (os.cpu_count() or 1) - 1)  # one core is the event loop's
        self._pool = pool
        self._base = float("inf")  # seconds of a call, and per row on top; unknown until warm
        self._per_row = 0.0

    @abstractmethod
    def answer(self, feed: dict[str, Array]) -> Outputs:
        """Raises ModelFailed. Called in any thread, in several at once."""

    async def scale(self, instances: int) -> None:  # noqa: B027 -- nothing to do, for any graph
        """One graph is shared by all threads."""

    async def warm(self, inputs: Inputs) -> Outputs:
        outputs = await asyncio.get_running_loop().run_in_executor(self._pool, self._measure, inputs)
        if self.quick(1):
            self.compute(
                inputs.part(0, 1)
            )  # in this thread too, where it will run: the first caller need not pay for it
        return outputs

    def quick(self, rows: int) -> bool:
        return self._base + self._per_row * rows < INLINE_SECONDS

    def run(self, inputs: Inputs) -> Outputs | Future[Outputs]:
        if self._base + self._per_row * inputs.rows < INLINE_SECONDS:
            return self.compute(inputs)
        return asyncio.get_running_loop().run_in_executor(self._pool, self.compute, inputs)

    @abstractmethod
    async def close(self) -> None: ...

    def compute(self, inputs: Inputs) -> Outputs:
        """In the calling thread."""
        if inputs.matrix is not None:
            return self.answer({self._matrix_name: inputs.matrix})
        return self.answer({f.name: _fit(inputs.arrays[f.source], f) for f in self._feeds})

    def _measure(self, inputs: Inputs) -> Outputs:
        """Two sizes give a line: the cost of a call and of each row on top."""
        outputs = self.compute(inputs)
        few, many = inputs.part(0, 1), inputs.part(0, _BATCH)
        one, batch = self._median(few), self._median(many)
        self._per_row = max(0.0, (batch - one) / (many.rows - few.rows)) if many.rows > few.rows else one
        self._base = max(0.0, one - self._per_row)
        return outputs

    def _median(self, inputs: Inputs) -> float:
        times = []
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            self.compute(inputs)
            times.append(time.perf_counter() - start)
        return sorted(times)[_ROUNDS // 2]


def threads(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2), thread_name_prefix=name)


def output_names(names: Sequence[str], signature: Signature) -> list[str]:
    """The graph's outputs in the signature's order; by position when the names differ."""
    wanted = [spec.name for spec in signature.outputs]
    if set(wanted) <= set(names):
        return wanted
    if len(names) < len(wanted):
        raise ModelRefused(f"the signature has outputs {', '.join(wanted)}; the graph has {', '.join(names)}")
    return list(names[: len(wanted)])


def feeds(nodes: Sequence[Node], signature: Signature) -> tuple[Feed, ...]:
    specs = {spec.name: spec for spec in signature.inputs}
    if len(nodes) != len(specs):
        raise ModelRefused(
            f"the signature has {len(specs)} inputs ({', '.join(specs)}), the graph {len(nodes)} "
            f"({', '.join(node.name for node in nodes)})"
        )
    found = []
    for node, position in zip(nodes, signature.inputs, strict=True):
        spec = specs.get(node.name, position)
        column = node.rank == 2 and len(spec.shape) == 1
        found.append(Feed(name=node.name, source=spec.name, dtype=node.dtype, column=column))
    return tuple(found)


def _fit(array: Array, feed: Feed) -> Array:
    """Whole numbers are cast here; floats came in the type that `form` asks for."""
    if array.dtype != feed.dtype:
        array = array.astype(feed.dtype)
    return array.reshape(-1, 1) if feed.column else array
