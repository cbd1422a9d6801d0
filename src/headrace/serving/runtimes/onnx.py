"""ONNX Runtime, inside the data plane. No Python object of the model is loaded: a graph and its weights.

Called by fleet.py and run.py. Decides by measurement whether a call runs on the event loop or in a thread: a hand-over
costs some 60 µs and a lock fight, so a model that answers faster than a few of those is run where it is called.
"""

from __future__ import annotations

import asyncio
import os
import time
from asyncio import Future
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from headrace.serving.runtimes.base import (
    Array,
    Form,
    Inputs,
    Model,
    Outputs,
    Runtime,
    Surroundings,
    refuse_pickles,
    register,
)
from headrace.types.errors import ModelFailed, ModelRefused
from headrace.types.model import Layout, Package, RuntimeKind, Signature

FILE = "model.onnx"
INLINE_SECONDS = 300e-6  # the longest that one call may hold the event loop
_ROUNDS = 7  # of warm-up; the median is taken
_BATCH = 64

_NUMPY: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int8)": np.dtype(np.int8),
    "tensor(int16)": np.dtype(np.int16),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(uint16)": np.dtype(np.uint16),
    "tensor(uint32)": np.dtype(np.uint32),
    "tensor(uint64)": np.dtype(np.uint64),
    "tensor(bool)": np.dtype(np.bool_),
    "tensor(string)": np.dtype(object),
}
_ORT_ERRORS = (
    ort.capi.onnxruntime_pybind11_state.EPFail,
    ort.capi.onnxruntime_pybind11_state.Fail,
    ort.capi.onnxruntime_pybind11_state.InvalidArgument,
    ort.capi.onnxruntime_pybind11_state.InvalidGraph,
    ort.capi.onnxruntime_pybind11_state.InvalidProtobuf,
    ort.capi.onnxruntime_pybind11_state.NoSuchFile,
    ort.capi.onnxruntime_pybind11_state.NotImplemented,
    ort.capi.onnxruntime_pybind11_state.RuntimeException,
    RuntimeError,
    ValueError,
)


def session_options() -> ort.SessionOptions:
    """One thread and no spinning: on a shared machine a second thread that waits busily doubles the CPU per call
    (notes: 3.1 → 6.1 ms for a forest of 256 rows), and calls already run side by side."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


class OnnxRuntime:
    def __init__(self, surroundings: Surroundings) -> None:
        del surroundings
        self._pool = ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2), thread_name_prefix="onnx")

    async def load(self, folder: Path, package: Package) -> Model:
        refuse_pickles(package)
        file = folder / FILE
        if not file.exists():
            raise ModelRefused(f"package {package.id[:12]} has no {FILE}", field="package")
        try:
            # ONNX Runtime lets go of the interpreter while it loads: traffic goes on.
            session = await asyncio.to_thread(
                ort.InferenceSession, str(file), session_options(), ["CPUExecutionProvider"]
            )
        except _ORT_ERRORS as error:
            raise ModelRefused(f"ONNX Runtime cannot load {package.model}/{package.version}: {error}") from error
        return OnnxModel(session, package.signature, self._pool)

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Feed:
    """One input of the graph: where its values come from, and the type and rank that it wants."""

    name: str
    source: str
    dtype: np.dtype[Any]
    column: bool  # wants [rows, 1] where the signature has [rows]


class OnnxModel:
    def __init__(self, session: ort.InferenceSession, signature: Signature, pool: ThreadPoolExecutor) -> None:
        self._session: ort.InferenceSession | None = session
        self._pool = pool
        self._outputs = _output_names(session, signature)
        graph = session.get_inputs()
        one = signature.layout is Layout.COLUMNS and len(graph) == 1 and len(graph[0].shape) == 2
        wide = one and (len(signature.inputs) > 1 or graph[0].name != signature.inputs[0].name)
        self._matrix_name = graph[0].name
        self._feeds = () if wide else _feeds(graph, signature)
        self.form = Form(
            matrix=_dtype(graph[0]) if wide else None,
            dtypes={feed.source: feed.dtype for feed in self._feeds if feed.dtype.kind == "f"},
        )
        self.instances = max(1, (os.cpu_count() or 1) - 1)  # one core is the event loop's
        self._base = float("inf")  # seconds of a call, and per row on top; unknown until warm
        self._per_row = 0.0

    async def scale(self, instances: int) -> None:
        """One session is shared by all threads."""

    async def warm(self, inputs: Inputs) -> Outputs:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._measure, inputs)

    def quick(self, rows: int) -> bool:
        return self._base + self._per_row * rows < INLINE_SECONDS

    def run(self, inputs: Inputs) -> Outputs | Future[Outputs]:
        if self._base + self._per_row * inputs.rows < INLINE_SECONDS:
            return self._run(inputs)
        return asyncio.get_running_loop().run_in_executor(self._pool, self._run, inputs)

    async def close(self) -> None:
        self._session = None

    def _run(self, inputs: Inputs) -> Outputs:
        session = self._session
        if session is None:
            raise ModelFailed("the model is already unloaded")
        if inputs.matrix is not None:
            feed = {self._matrix_name: inputs.matrix}
        else:
            feed = {f.name: _fit(inputs.arrays[f.source], f) for f in self._feeds}
        try:
            outputs: Outputs = session.run(self._outputs, feed)
        except _ORT_ERRORS as error:
            raise ModelFailed(f"ONNX Runtime failed: {error}") from error
        return outputs

    def _measure(self, inputs: Inputs) -> Outputs:
        """Two sizes give a line: the cost of a call and of each row on top."""
        outputs = self._run(inputs)
        few, many = inputs.part(0, 1), inputs.part(0, _BATCH)
        one, batch = self._median(few), self._median(many)
        self._per_row = max(0.0, (batch - one) / (many.rows - few.rows)) if many.rows > few.rows else one
        self._base = max(0.0, one - self._per_row)
        return outputs

    def _median(self, inputs: Inputs) -> float:
        times = []
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            self._run(inputs)
            times.append(time.perf_counter() - start)
        return sorted(times)[_ROUNDS // 2]


def _output_names(session: ort.InferenceSession, signature: Signature) -> list[str]:
    """The graph's outputs in the signature's order; by position when the names differ."""
    names = [output.name for output in session.get_outputs()]
    wanted = [spec.name for spec in signature.outputs]
    if set(wanted) <= set(names):
        return wanted
    if len(names) < len(wanted):
        raise ModelRefused(f"the signature has outputs {', '.join(wanted)}; the graph has {', '.join(names)}")
    return names[: len(wanted)]


def _feeds(graph: list[Any], signature: Signature) -> tuple[_Feed, ...]:
    specs = {spec.name: spec for spec in signature.inputs}
    if len(graph) != len(specs):
        raise ModelRefused(
            f"the signature has {len(specs)} inputs ({', '.join(specs)}), the graph {len(graph)} "
            f"({', '.join(node.name for node in graph)})"
        )
    feeds = []
    for node, position in zip(graph, signature.inputs, strict=True):
        spec = specs.get(node.name, position)
        feeds.append(
            _Feed(
                name=node.name,
                source=spec.name,
                dtype=_dtype(node),
                column=len(node.shape) == 2 and len(spec.shape) == 1,
            )
        )
    return tuple(feeds)


def _dtype(node: Any) -> np.dtype[Any]:
    if node.type not in _NUMPY:
        raise ModelRefused(f"input {node.name!r} of the graph has type {node.type}; allowed: {', '.join(_NUMPY)}")
    dtype: np.dtype[Any] = _NUMPY[node.type]
    return dtype


def _fit(array: Array, feed: _Feed) -> Array:
    """Whole numbers are cast here; floats came in the type that `form` asks for."""
    if array.dtype != feed.dtype:
        array = array.astype(feed.dtype)
    return array.reshape(-1, 1) if feed.column else array


def _make(surroundings: Surroundings) -> Runtime:
    return OnnxRuntime(surroundings)


register(RuntimeKind.ONNX, _make)
