"""A program in a model host of its own, for as long as somebody asks it: what works here works when it is deployed.

Called by trial.py and examine.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from headrace.programs.definition import signature_of
from headrace.programs.package import Packed, write_package
from headrace.serving.codec import Codec
from headrace.serving.lm import Aliases
from headrace.serving.paid import Paid
from headrace.serving.runtimes.base import Inputs, Surroundings
from headrace.serving.runtimes.program import ProgramModel, ProgramRuntime
from headrace.types.model import Package, RuntimeKind
from headrace.types.program import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    outputs: dict[str, Any]
    usage: Usage


class Opened:
    def __init__(self, packed: Packed, model: ProgramModel) -> None:
        self._signature = signature_of(packed.program)
        self._codec = Codec(self._signature, ProgramModel.form)
        self._model = model

    @property
    def spent(self) -> Usage:
        """In all, by those before us too whose answers `paid` kept."""
        return self._model.desk.usage

    def read(self, row: Any) -> Inputs:
        """Raises BadInput for a row that is none of this program's."""
        return self._codec.decode(msgspec.Raw(msgspec.json.encode(row)))

    async def ask(self, inputs: Inputs) -> Answered:
        outputs = await self._model.warm(inputs)
        named = {spec.name: array.tolist()[0] for spec, array in zip(self._signature.outputs, outputs, strict=True)}
        return Answered(outputs=named, usage=inputs.spent or Usage())


@asynccontextmanager
async def opened(packed: Packed, scratch: Path, aliases: Aliases, paid: Paid | None = None) -> AsyncIterator[Opened]:
    """`scratch`: an empty folder. Raises what starting a host raises."""
    folder = scratch / "program"
    write_package(packed, folder)
    package = Package(
        id="trial",
        model=packed.program.name,
        version=0,
        source_sha256="",
        runtime=RuntimeKind.PROGRAM,
        signature=signature_of(packed.program),
        files=(),
    )
    nowhere = Surroundings(run=scratch, logs=scratch, report=lambda *_: None, aliases=aliases)
    model = await ProgramRuntime(nowhere, paid=paid).load(folder, package)
    try:
        yield Opened(packed, model)
    finally:
        await model.close()
