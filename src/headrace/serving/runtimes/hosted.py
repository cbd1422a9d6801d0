"""What runtimes with a model host have in common: a pool of processes per package, each with its own memory, no secrets
and no network, that open the package and answer calls.

Called by pyfunc.py, torch.py and torchscript.py, which each bring the one function that opens a package in the host.
Decides how a host is started for a package and what a call to it looks like. Ignores what happens inside: that is
serving/host.py.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import Future
from dataclasses import replace
from pathlib import Path

import msgspec

from headrace.compute.host import HostLimits, HostProcess
from headrace.compute.pool import HostPool
from headrace.serving.runtimes.base import Form, Inputs, Model, Outputs, Surroundings
from headrace.serving.wire import pack_arrays, unpack_arrays
from headrace.types.errors import BadInput, ModelFailed
from headrace.types.model import Package, Signature

PROGRAM = "headrace.serving.host"
# A model host asks nobody on the network: no telemetry, no price list of language models. (It could not, either.)
ENVIRONMENT = {
    "DO_NOT_TRACK": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
}


class HostedRuntime:
    """`python`: the interpreter of the host, which may have libraries that this process has not."""

    def __init__(
        self, surroundings: Surroundings, *, limits: HostLimits | None = None, python: str = sys.executable
    ) -> None:
        self._surroundings = surroundings
        self._limits = limits or HostLimits()
        self._python = python

    async def load(self, folder: Path, package: Package) -> Model:
        name = f"{package.model}-{package.version}"
        logs, report = self._surroundings.logs, self._surroundings.report
        logs.mkdir(parents=True, exist_ok=True)
        needs = package.hosting
        limits = replace(self._limits, network=needs.network, memory_mb=needs.memory_mb, threads=needs.threads)
        argv = [self._python, "-m", PROGRAM, "--runtime", package.runtime.value, "--folder", str(folder)]
        argv += ["--signature", msgspec.json.encode(package.signature).decode()]

        def make(number: int) -> HostProcess:
            numbered = name if number == 0 else f"{name}.{number}"
            return HostProcess(
                numbered,
                argv,
                log_path=logs / f"host-{numbered}.log",
                env=ENVIRONMENT,
                limits=limits,
                on_restart=lambda reason: report("host.restarted", reason),
            )

        pool = HostPool(name, make, limits)
        await pool.scale(1)
        return HostedModel(pool, package.signature)

    async def close(self) -> None:
        """Each model closes its own hosts."""


class HostedModel:
    form = Form()

    def __init__(self, pool: HostPool, signature: Signature) -> None:
        self.pool = pool
        self._names = [spec.name for spec in signature.outputs]

    @property
    def instances(self) -> int:
        return self.pool.instances

    def quick(self, rows: int) -> bool:
        return False

    async def scale(self, instances: int) -> None:
        if instances > 0:
            await self.pool.scale(instances)

    async def warm(self, inputs: Inputs) -> Outputs:
        return await self._call(inputs)

    def run(self, inputs: Inputs) -> Future[Outputs]:
        return asyncio.ensure_future(self._call(inputs))

    async def close(self) -> None:
        await self.pool.close()

    async def _call(self, inputs: Inputs) -> Outputs:
        tensors, blobs = pack_arrays(inputs.arrays)
        header, answers = await self.pool.call({"op": "run", "tensors": tensors}, blobs, deadline=inputs.deadline)
        if "error" in header:
            if header.get("blame") == "input":
                raise BadInput(header["error"], field="inputs")
            raise ModelFailed(header["error"])
        arrays = unpack_arrays(header["tensors"], answers)
        return [arrays[name] for name in self._names]
