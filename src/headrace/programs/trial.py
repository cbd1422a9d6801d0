"""One question to a program that is not deployed: for the person who writes it. Called by service.py."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headrace.programs.opened import opened
from headrace.programs.package import Packed
from headrace.serving.lm import Aliases

SECONDS = 60.0


async def try_program(packed: Packed, row: Mapping[str, Any], *, aliases: Aliases, work: Path) -> dict[str, Any]:
    """`{"outputs", "usage", "milliseconds"}`. Raises BadInput for the row, and what the program's host raises."""
    await asyncio.to_thread(work.mkdir, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="try-", dir=work) as scratch:
        async with opened(packed, Path(scratch), aliases) as program:
            inputs = program.read(row)
            inputs.deadline = asyncio.get_running_loop().time() + SECONDS
            began = time.perf_counter()
            found = await program.ask(inputs)
            took = (time.perf_counter() - began) * 1000
    return {"outputs": found.outputs, "usage": asdict(found.usage), "milliseconds": round(took, 1)}
