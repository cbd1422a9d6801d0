"""What the data plane's tests are made of: nouns with defaults, a journal in memory, models that do as they are told,
and a real ONNX package small enough to build in a millisecond."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from headrace.base.clock import ManualClock
from headrace.base.ids import TraceIds
from headrace.serving.runtimes.base import Form, Inputs, Outputs
from headrace.store.artifacts import Artifacts
from headrace.store.journal.records import Record, decode
from headrace.traffic.meter import Meter
from headrace.traffic.record import Recorder
from headrace.types.call import Call
from headrace.types.endpoint import Endpoint, Plan, Variant
from headrace.types.errors import ModelRefused
from headrace.types.model import (
    Datatype,
    Layout,
    ModelVersion,
    Package,
    PackageFile,
    RuntimeKind,
    Signature,
    TensorSpec,
)
from headrace.types.traffic import TrafficPolicy

KEY = b"k" * 32


def spec(name: str, datatype: Datatype = Datatype.FP64, shape: tuple[int, ...] = (-1,)) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, shape=shape)


ROWS_OF_3 = Signature(
    inputs=(spec("input", Datatype.FP64, (-1, 3)),),
    outputs=(spec("label", Datatype.INT64), spec("scores", Datatype.FP32, (-1, 2))),
)
TABLE = Signature(
    inputs=(spec("width"), spec("count", Datatype.INT64), spec("colour", Datatype.BYTES)),
    outputs=(spec("label", Datatype.INT64),),
    layout=Layout.COLUMNS,
)
NUMBERS_TABLE = Signature(
    inputs=(spec("a"), spec("b"), spec("c")),
    outputs=(spec("label", Datatype.INT64), spec("scores", Datatype.FP32, (-1, 2))),
    layout=Layout.COLUMNS,
)


def package(
    version: int = 1,
    *,
    model: str = "toy",
    signature: Signature = ROWS_OF_3,
    runtime: RuntimeKind = RuntimeKind.ONNX,
    files: tuple[str, ...] = ("model.onnx",),
    warmup: str = "",
) -> Package:
    return Package(
        id=f"{model}{version}".ljust(64, "0"),
        model=model,
        version=version,
        source_sha256="",
        runtime=runtime,
        signature=signature,
        files=tuple(PackageFile(path=path, sha256="", size=0) for path in files),
        warmup=warmup,
    )


def variant(made: Package) -> Variant:
    version = ModelVersion(name=made.model, version=made.version, uri=f"models:/{made.model}/{made.version}")
    return Variant(name=f"v{made.version}", model=version, package=made)


def endpoint(*packages: Package, name: str = "toy", policy: TrafficPolicy | None = None, **more: Any) -> Endpoint:
    """The first package is the baseline; all can be pinned by their number."""
    variants = tuple(variant(made) for made in packages)
    selectors = more.pop("selectors", {str(v.model.version): v.name for v in variants})
    first = policy or TrafficPolicy(baseline=variants[0].name if variants else "v1", salt="salt")
    return Endpoint(
        name=name,
        model=packages[0].model if packages else name,
        variants=variants,
        policy=first,
        selectors=selectors,
        **more,
    )


def plan(revision: int, *endpoints: Endpoint, **more: Any) -> Plan:
    return Plan(revision=revision, created=0.0, endpoints=endpoints, **more)


class MemoryJournal:
    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.synced = 0
        self.lost = 0

    def append(self, line: bytes) -> bool:
        self.lines.append(line)
        return True

    async def durable(self, line: bytes) -> None:
        self.append(line)
        await asyncio.sleep(0)
        self.synced += 1

    def records(self) -> list[Record]:
        return [decode(line + b"\n") for line in b"".join(self.lines).splitlines()]

    def calls(self) -> list[Call]:
        return [record for record in self.records() if isinstance(record, Call)]


def recorder(journal: MemoryJournal | None = None, clock: ManualClock | None = None) -> Recorder:
    return Recorder(journal or MemoryJournal(), TraceIds(KEY), KEY, Meter(), clock or ManualClock())


Behaviour = Callable[[Inputs], "Outputs | Future[Outputs]"]


def labels(inputs: Inputs) -> Outputs:
    return [np.zeros(inputs.rows, dtype=np.int64), np.zeros((inputs.rows, 2), dtype=np.float32)]


@dataclass
class ScriptedModel:
    behave: Behaviour = labels
    form: Form = field(default_factory=Form)
    closed: bool = False
    ran: list[Inputs] = field(default_factory=list)
    instances: int = 1
    scaled: int = 0
    fast: bool = False

    def quick(self, rows: int) -> bool:
        return self.fast

    async def scale(self, instances: int) -> None:
        self.scaled = instances

    async def warm(self, inputs: Inputs) -> Outputs:
        found = self.behave(inputs)
        return found if isinstance(found, list) else await found

    def run(self, inputs: Inputs) -> Outputs | Future[Outputs]:
        self.ran.append(inputs)
        return self.behave(inputs)

    async def close(self) -> None:
        self.closed = True


class ScriptedRuntime:
    """`behaviours` by version; a ModelRefused there is raised at load. `hold` keeps a load back until it is set."""

    def __init__(self, behaviours: dict[int, Behaviour | ModelRefused] | None = None) -> None:
        self.behaviours = behaviours or {}
        self.models: dict[int, ScriptedModel] = {}
        self.loads: list[int] = []
        self.hold: asyncio.Event | None = None
        self.closed = False

    async def load(self, folder: Path, package: Package) -> ScriptedModel:
        self.loads.append(package.version)
        if self.hold is not None:
            await self.hold.wait()
        behave = self.behaviours.get(package.version, labels)
        if isinstance(behave, ModelRefused):
            raise behave
        model = self.models[package.version] = ScriptedModel(behave)
        return model

    async def close(self) -> None:
        self.closed = True


class Trusting:
    """Verifies anything, unless told that a version is damaged."""

    def __init__(self, *damaged: int) -> None:
        self.damaged = set(damaged)

    def verify(self, package: Package) -> Path:
        if package.version in self.damaged:
            raise ModelRefused(f"file 'model.onnx' of version {package.version} has another sha256")
        return Path()


# Two rows of weights: label 1 when the third input outweighs the first. NaN in, NaN out.
WEIGHTS = np.array([[1, 0], [0, 0], [0, 1]], dtype=np.float32)


def onnx_file(path: Path, *, columns: int = 0, nan: bool = False) -> None:
    """One [n, 3] float input, or `columns` inputs of [n, 1]; outputs `label` and `scores`."""
    weights = WEIGHTS * np.float32(np.nan) if nan else WEIGHTS
    names = [f"{'abc'[i]}" for i in range(columns)] or ["input"]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 1 if columns else 3]) for n in names]
    nodes = [helper.make_node("Concat", names, ["rows"], axis=1)] if columns else []
    nodes += [
        helper.make_node("MatMul", ["rows" if columns else "input", "weights"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2]),
    ]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, [numpy_helper.from_array(weights, "weights")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))


def toy_package(
    artifacts: Artifacts,
    work: Path,
    version: int = 1,
    *,
    signature: Signature = ROWS_OF_3,
    warmup: bool = True,
    **graph: Any,
) -> Package:
    """A real package in a real store. `graph`: as onnx_file."""
    source = work / f"toy{version}"
    source.mkdir(parents=True)
    onnx_file(source / "model.onnx", **graph)
    if warmup:
        np.save(source / "warmup.npy", np.arange(3 * (version + 1), dtype=np.float64).reshape(-1, 3))
    made = package(version, signature=signature, warmup="warmup.npy" if warmup else "")
    return artifacts.add(source, made)
