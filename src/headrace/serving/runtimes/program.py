"""A program that asks a language model, in a model host: many calls at once, each with its own deadline.

Called by fleet.py and run.py. The host (programs/child/host.py) runs the program's code without a network and without
a key; what it wants to ask comes back over the socket to desk.py. Decides how a host is started and what each way to
fail is called. Ignores prompts.
"""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio import Future
from dataclasses import replace
from pathlib import Path

import msgspec

from headrace.compute.frames import Header, Message
from headrace.compute.host import HostLimits, HostProcess
from headrace.serving.desk import Desk
from headrace.serving.lm import Aliases
from headrace.serving.paid import Paid
from headrace.serving.runtimes.base import Form, Inputs, Outputs, Surroundings, register
from headrace.serving.runtimes.hosted import ENVIRONMENT
from headrace.serving.steps import ordered
from headrace.serving.wire import pack_arrays, unpack_arrays
from headrace.types.errors import BadInput, HeadraceError, ModelFailed, ModelRefused, TimedOut, UpstreamError
from headrace.types.model import Package, RuntimeKind, Signature

PROGRAM = "headrace.programs.child.host"
DESCRIPTION = "program.json"
AT_ONCE = 64  # calls in one host; more wait in the queue of the endpoint
LIMITS = HostLimits(several=True, memory_mb=8192)
# DSPy would keep answers on disk, and pickle them; litellm would ask for a price list.
CHILD_ENVIRONMENT = ENVIRONMENT | {"DSPY_CACHEDIR": "dspy", "DSPY_CACHE_LIMIT": "0"}
_ERRORS: dict[str, type[HeadraceError]] = {"input": BadInput, "late": TimedOut, "lm": UpstreamError}


class _Named(msgspec.Struct):
    lm: str


class _Described(msgspec.Struct):
    """As much of a package's description as matters here."""

    program: _Named


class ProgramRuntime:
    def __init__(
        self,
        surroundings: Surroundings,
        *,
        limits: HostLimits = LIMITS,
        python: str = sys.executable,
        paid: Paid | None = None,
    ) -> None:
        self._surroundings = surroundings
        self._paid = paid
        self._limits = limits
        self._python = python

    async def load(self, folder: Path, package: Package) -> ProgramModel:
        name = f"{package.model}-{package.version}"
        logs, report = self._surroundings.logs, self._surroundings.report
        logs.mkdir(parents=True, exist_ok=True)
        needs = package.hosting
        host = HostProcess(
            name,
            [self._python, "-m", PROGRAM, "--folder", str(folder)],
            log_path=logs / f"host-{name}.log",
            env=CHILD_ENVIRONMENT,
            limits=replace(self._limits, network=needs.network, memory_mb=needs.memory_mb, threads=needs.threads),
            on_restart=lambda reason: report("host.restarted", reason),
        )
        desk = Desk(self._surroundings.aliases or Aliases(None), [_alias(folder, package)], paid=self._paid)
        desk.attend(host)
        try:
            await host.start()
        except BaseException:  # also a load that is cancelled: nobody else knows of this process
            await host.close()
            raise
        return ProgramModel(host, desk, package.signature, grace=self._limits.grace_seconds)

    async def close(self) -> None:
        """Each model closes its own host."""


class ProgramModel:
    form = Form(unicode=True)
    instances = AT_ONCE

    def __init__(self, host: HostProcess, desk: Desk, signature: Signature, *, grace: float) -> None:
        self.host = host
        self.desk = desk
        self._grace = grace
        self._names = [spec.name for spec in signature.outputs]

    def quick(self, rows: int) -> bool:
        return False

    async def scale(self, instances: int) -> None:
        """One process takes all calls: it only waits for language models. `instances` bounds calls at once."""

    async def warm(self, inputs: Inputs) -> Outputs:
        return await self._call("run", inputs)

    def run(self, inputs: Inputs) -> Future[Outputs]:
        """With `inputs.hear` it is told the first output's text, piece by piece as the language model writes it. The
        outputs have the final word: a program may think again after what it streamed."""
        work = asyncio.ensure_future(self._call("run" if inputs.hear is None else "stream", inputs))
        inputs.stop = work.cancel
        return work

    async def close(self) -> None:
        await self.host.close()
        await self.desk.close()

    async def _call(self, op: str, inputs: Inputs) -> Outputs:
        tensors, blobs = pack_arrays(inputs.arrays)
        left = inputs.deadline - asyncio.get_running_loop().time()
        account = self.desk.open(
            deadline=inputs.deadline, travels=inputs.travels, began=time.monotonic(), trace=inputs.trace
        )
        header: Header = {"op": op, "for": account.number, "tensors": tensors, "rows": inputs.rows}
        if left != float("inf"):
            header["left"] = left
        tell, told = inputs.hear, []
        hear = None if tell is None else lambda message: tell(message[0]["text"])
        try:
            answer = await self.host.call(header, blobs, seconds=left + self._grace, hear=hear)
            told = answer[0].get("steps", ())
        finally:
            inputs.spent = self.desk.end(account)
            inputs.steps = ordered(told, account)
        return self._outputs(answer)

    def _outputs(self, answer: Message) -> Outputs:
        header, blobs = answer
        if "error" in header:
            raise _ERRORS.get(header.get("blame", ""), ModelFailed)(header["error"])
        arrays = unpack_arrays(header["tensors"], blobs)
        return [arrays[name] for name in self._names]


def _alias(folder: Path, package: Package) -> str:
    try:
        return msgspec.json.decode((folder / DESCRIPTION).read_bytes(), type=_Described).program.lm
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelRefused(
            f"package {package.id[:12]}: {DESCRIPTION} cannot be read: {error}", field="package"
        ) from error


register(RuntimeKind.PROGRAM, ProgramRuntime)
