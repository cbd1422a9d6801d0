"""A program answers many rows: for an examination, whose questions have labels that it does not see.

Called by the flywheel's turns, in a thread. Decides that a row without an answer has the answer None and is counted,
and that a language model which cannot be reached is nobody's wrong answer: then all of it fails, to be asked again.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from headrace.programs.opened import Opened, opened
from headrace.programs.package import Packed
from headrace.programs.until import until
from headrace.serving.lm import Aliases
from headrace.serving.paid import Paid
from headrace.types.errors import BadInput, ModelFailed, TimedOut
from headrace.types.program import Usage

SECONDS = 300.0  # for one row


@dataclass(slots=True, kw_only=True)
class Examined:
    """`answers`: the first output, in the order of the rows. `row_ms`: the median."""

    answers: list[Any] = field(default_factory=list)
    usage: Usage = Usage()
    row_ms: float = 0.0
    missed: int = 0
    error: str = ""  # the first of them


def examine(
    packed: Packed,
    rows: Sequence[Any],
    *,
    aliases: Aliases,
    paid: Path,
    at_once: int = 4,
    cancelled: threading.Event,
) -> Examined:
    """`paid`: as for a compilation. Raises BadInput for rows that are none of this program's, UpstreamError, Conflict
    when it was cancelled, ModelFailed when no row got an answer."""

    examining = _examined(packed, rows, aliases, paid, at_once)
    return until(cancelled, examining, what="the examination", field="evaluate")


async def _examined(packed: Packed, rows: Sequence[Any], aliases: Aliases, paid: Path, at_once: int) -> Examined:
    found, took, places = Examined(), list[float](), asyncio.Semaphore(at_once)
    with tempfile.TemporaryDirectory(prefix="examine-") as scratch:
        async with opened(packed, Path(scratch), aliases, Paid(paid)) as program:

            async def one(row: Any) -> Any:
                async with places:
                    return await _answer(program, row, found, took)

            tasks = [asyncio.create_task(one(row)) for row in rows]
            try:
                found.answers = list(await asyncio.gather(*tasks))
            finally:
                for task in tasks:
                    task.cancel()
    if rows and found.missed == len(rows):
        raise ModelFailed(f"the program answers none of {len(rows)} rows: {found.error}", field="program")
    found.row_ms = median(took) if took else 0.0
    return found


async def _answer(program: Opened, row: Any, found: Examined, took: list[float]) -> Any:
    inputs = program.read(row)
    inputs.deadline = asyncio.get_running_loop().time() + SECONDS
    began = time.perf_counter()
    try:
        answered = await program.ask(inputs)
    except (ModelFailed, BadInput, TimedOut) as error:
        found.missed += 1
        found.error = found.error or error.sentence()
        return None
    took.append((time.perf_counter() - began) * 1000)
    found.usage += answered.usage
    return next(iter(answered.outputs.values()))
