"""MLflow pyfunc, in a model host: any Python model, in a process of its own, with its own memory and no secrets.

Called by fleet.py and run.py. Decides how a host is started for a package and what a call to it looks like.
Ignores what happens inside: that is serving/host.py.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import Future
from pathlib import Path

import msgspec

from headrace.compute.host import HostLimits, HostProcess
from headrace.serving.runtimes.base import Form, Inputs, Model, Outputs, Runtime, Surroundings, register
from headrace.serving.wire import pack_arrays, unpack_arrays
from headrace.types.errors import BadInput, ModelFailed
from headrace.types.model import Package, RuntimeKind, Signature

PROGRAM = "headrace.serving.host"
# A model host asks nobody on the network: no telemetry, no price list of language models.
ENVIRONMENT = {
    "DO_NOT_TRACK": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
}


class PyfuncRuntime:
    def __init__(self, surroundings: Surroundings, limits: HostLimits | None = None) -> None:
        self._surroundings = surroundings
        self._limits = limits or HostLimits()

    async def load(self, folder: Path, package: Package) -> Model:
        name = f"{package.model}-{package.version}"
        self._surroundings.logs.mkdir(parents=True, exist_ok=True)
        signature = msgspec.json.encode(package.signature).decode()
        host = HostProcess(
            name,
            [sys.executable, "-m", PROGRAM, "--folder", str(folder), "--signature", signature],
            log_path=self._surroundings.logs / f"host-{name}.log",
            env=ENVIRONMENT,
            limits=self._limits,
            on_restart=lambda reason: self._surroundings.report("host.restarted", reason),
        )
        try:
            await host.start()
        except BaseException:
            await host.close()
            raise
        return PyfuncModel(host, package.signature)

    async def close(self) -> None:
        """Each model closes its own host."""


class PyfuncModel:
    form = Form()
    instances = 1

    def __init__(self, host: HostProcess, signature: Signature) -> None:
        self.host = host
        self._names = [spec.name for spec in signature.outputs]

    def quick(self, rows: int) -> bool:
        return False

    async def warm(self, inputs: Inputs) -> Outputs:
        return await self._call(inputs)

    def run(self, inputs: Inputs) -> Future[Outputs]:
        return asyncio.ensure_future(self._call(inputs))

    async def close(self) -> None:
        await self.host.close()

    async def _call(self, inputs: Inputs) -> Outputs:
        tensors, blobs = pack_arrays(inputs.arrays)
        header, answers = await self.host.call({"op": "run", "tensors": tensors}, blobs)
        if "error" in header:
            if header.get("blame") == "input":
                raise BadInput(header["error"], field="inputs")
            raise ModelFailed(header["error"])
        arrays = unpack_arrays(header["tensors"], answers)
        return [arrays[name] for name in self._names]


def _make(surroundings: Surroundings) -> Runtime:
    return PyfuncRuntime(surroundings)


register(RuntimeKind.PYFUNC, _make)
