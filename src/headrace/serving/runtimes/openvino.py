"""OpenVINO, inside the data plane: an ONNX graph or OpenVINO's own IR. No Python object of the model is loaded.

Called by fleet.py and batch.py. Decides how a graph is compiled; how it is fed and where it runs is graph.py's.
Optional: `pip install 'headrace[openvino]'`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from headrace.serving.runtimes.base import Array, Model, Outputs, Surroundings, refuse_pickles, register
from headrace.serving.runtimes.graph import GraphModel, Node, threads
from headrace.types.errors import ModelFailed, ModelRefused
from headrace.types.model import Package, RuntimeKind, Signature

FILES = ("model.xml", "model.onnx")  # the first that is there
# As many threads as a call has: one. Full precision, so that a version answers alike on every machine: where the
# processor knows bfloat16, OpenVINO would take it by itself.
PROPERTIES = {
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,
    "INFERENCE_PRECISION_HINT": "f32",
}


class OpenVinoRuntime:
    def __init__(self, surroundings: Surroundings) -> None:
        del surroundings
        self._pool = threads("openvino")

    async def load(self, folder: Path, package: Package) -> Model:
        refuse_pickles(package)
        file = next((folder / name for name in FILES if (folder / name).exists()), None)
        if file is None:
            raise ModelRefused(f"package {package.id[:12]} has none of {', '.join(FILES)}", field="package")
        return OpenVinoModel(await asyncio.to_thread(compile_graph, file), package.signature, self._pool)

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class OpenVinoModel(GraphModel):
    def __init__(self, compiled: Any, signature: Signature, pool: ThreadPoolExecutor) -> None:
        nodes = [Node(_name(port), _dtype(port), len(port.partial_shape)) for port in compiled.inputs]
        names = [_name(port) for port in compiled.outputs]
        super().__init__(nodes, names, signature, pool)
        self._places = [names.index(name) for name in self._outputs]
        self._compiled: Any = compiled
        self._idle: deque[Any] = deque()  # requests: one serves one call at a time

    def answer(self, feed: dict[str, Array]) -> Outputs:
        compiled = self._compiled
        if compiled is None:
            raise ModelFailed("the model is already unloaded")
        try:
            request = self._idle.pop()
        except IndexError:
            request = compiled.create_infer_request()
        try:
            request.infer(feed)
            # A request keeps its output tensors and writes the next answer into them.
            return [request.get_output_tensor(place).data.copy() for place in self._places]
        except (RuntimeError, TypeError, ValueError) as error:
            raise ModelFailed(f"OpenVINO failed: {_told(error)}") from error
        finally:
            self._idle.append(request)

    async def close(self) -> None:
        self._compiled = None
        self._idle.clear()


def compile_graph(file: Path) -> Any:
    """Raises ModelRefused without OpenVINO, and for what it does not know (it has no trees, none of `ai.onnx.ml`)."""
    try:
        import openvino  # noqa: PLC0415 -- optional, and 0.3 s
    except ImportError as error:
        raise ModelRefused(
            "OpenVINO is not installed here", field="runtime", hint="pip install 'headrace[openvino]'"
        ) from error
    core = openvino.Core()
    try:
        return core.compile_model(core.read_model(str(file)), "CPU", PROPERTIES)
    except RuntimeError as error:
        raise ModelRefused(f"OpenVINO cannot load the graph: {_told(error)}", field="runtime") from error


def _name(port: Any) -> str:
    """A port without any name is fed by its node's."""
    return str(port.any_name) if port.names else str(port.node.friendly_name)


def _dtype(port: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(port.element_type.to_dtype())
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelRefused(f"input {_name(port)!r} of the graph has type {port.element_type}") from error
    return dtype


def _told(error: Exception) -> str:
    """OpenVINO's errors are paragraphs with source files in them; the last lines say what."""
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[-2:])[:300] or type(error).__name__


register(RuntimeKind.OPENVINO, OpenVinoRuntime)
