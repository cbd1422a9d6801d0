"""One question to a program that is not deployed: for the person who writes it.

Called by service.py. A host is started for it and ended after it, as a deployed program has one; so what works here
works there.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from headrace.programs.definition import signature_of
from headrace.programs.package import Packed, write_package
from headrace.serving.codec import Codec
from headrace.serving.lm import Aliases
from headrace.serving.runtimes.base import Surroundings
from headrace.serving.runtimes.program import ProgramModel, ProgramRuntime
from headrace.types.model import Package, RuntimeKind
from headrace.types.program import Usage

SECONDS = 60.0


async def try_program(packed: Packed, row: Mapping[str, Any], *, aliases: Aliases, work: Path) -> dict[str, Any]:
    """`{"outputs", "usage", "milliseconds"}`. Raises BadInput for the row, and what the program's host raises."""
    signature = signature_of(packed.program)
    inputs = Codec(signature, ProgramModel.form).decode(msgspec.Raw(msgspec.json.encode(row)))
    await asyncio.to_thread(work.mkdir, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="try-", dir=work) as scratch:
        folder = Path(scratch) / "program"
        write_package(packed, folder)
        package = Package(
            id="trial",
            model=packed.program.name,
            version=0,
            source_sha256="",
            runtime=RuntimeKind.PROGRAM,
            signature=signature,
            files=(),
        )
        nowhere = Surroundings(run=Path(scratch), logs=Path(scratch), report=lambda *_: None, aliases=aliases)
        model = await ProgramRuntime(nowhere).load(folder, package)
        try:
            inputs.deadline = asyncio.get_running_loop().time() + SECONDS
            began = time.perf_counter()
            outputs = await model.warm(inputs)
            took = (time.perf_counter() - began) * 1000
        finally:
            await model.close()
    named = {spec.name: array.tolist()[0] for spec, array in zip(signature.outputs, outputs, strict=True)}
    return {"outputs": named, "usage": asdict(inputs.spent or Usage()), "milliseconds": round(took, 1)}
