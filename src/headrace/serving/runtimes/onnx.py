"""ONNX Runtime, inside the data plane. No Python object of the model is loaded: a graph and its weights.

Called by fleet.py and batch.py. Decides how a session is set up; how it is fed and where it runs is graph.py's.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from headrace.serving.runtimes.base import Array, Model, Outputs, Runtime, Surroundings, refuse_pickles, register
from headrace.serving.runtimes.graph import GraphModel, Node, threads
from headrace.types.errors import ModelFailed, ModelRefused
from headrace.types.model import Package, RuntimeKind, Signature

FILE = "model.onnx"

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
        self._pool = threads("onnx")

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


class OnnxModel(GraphModel):
    def __init__(self, session: ort.InferenceSession, signature: Signature, pool: ThreadPoolExecutor) -> None:
        self._session: ort.InferenceSession | None = session
        nodes = [Node(node.name, _dtype(node), len(node.shape)) for node in session.get_inputs()]
        super().__init__(nodes, [output.name for output in session.get_outputs()], signature, pool)

    def answer(self, feed: dict[str, Array]) -> Outputs:
        session = self._session
        if session is None:
            raise ModelFailed("the model is already unloaded")
        try:
            outputs: Outputs = session.run(self._outputs, feed)
        except _ORT_ERRORS as error:
            raise ModelFailed(f"ONNX Runtime failed: {error}") from error
        return outputs

    async def close(self) -> None:
        self._session = None


def _dtype(node: Any) -> np.dtype[Any]:
    if node.type not in _NUMPY:
        raise ModelRefused(f"input {node.name!r} of the graph has type {node.type}; allowed: {', '.join(_NUMPY)}")
    dtype: np.dtype[Any] = _NUMPY[node.type]
    return dtype


def _make(surroundings: Surroundings) -> Runtime:
    return OnnxRuntime(surroundings)


register(RuntimeKind.ONNX, _make)
