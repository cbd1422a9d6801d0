"""A program answers many rows: for an examination, whose questions have labels that it does not see.

Called by the flywheel's turns, in a thread. Decides that a row without an answer has the answer None and is counted,
and that a language model which cannot be reached is nobody's wrong answer: then all of it fails, to be asked again.
Killed and begun again, it does not ask rows again that were answered, and they took as long as they did.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
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
    found, places, known = Examined(), asyncio.Semaphore(at_once), Paid(paid)
    took = _Times(paid.with_suffix(".times"))
    with tempfile.TemporaryDirectory(prefix="examine-") as scratch:
        async with opened(packed, Path(scratch), aliases, known) as program:

            async def one(number: int, row: Any) -> Any:
                async with places:
                    return await _answer(program, row, found, lambda ms: took.say(number, ms))

            tasks = [asyncio.create_task(one(number, row)) for number, row in enumerate(rows)]
            try:
                found.answers = list(await asyncio.gather(*tasks))
            finally:
                for task in tasks:
                    task.cancel()
                took.close()
            found.usage = program.spent
    if rows and found.missed == len(rows):
        raise ModelFailed(f"the program answers none of {len(rows)} rows: {found.error}", field="program")
    found.row_ms = took.middle()
    return found


async def _answer(program: Opened, row: Any, found: Examined, took: Callable[[float], None]) -> Any:
    inputs = program.read(row)
    inputs.deadline = asyncio.get_running_loop().time() + SECONDS
    began = time.perf_counter()
    try:
        answered = await program.ask(inputs)
    except (ModelFailed, BadInput, TimedOut) as error:
        found.missed += 1
        found.error = found.error or error.sentence()
        return None
    took((time.perf_counter() - began) * 1000)
    return next(iter(answered.outputs.values()))


class _Times:
    """How long each row took when its answer was not there yet, in `file`: a line each."""

    def __init__(self, file: Path) -> None:
        there = file.read_text() if file.exists() else ""
        whole = there[: there.rfind("\n") + 1]
        if whole != there:
            file.write_text(whole)
        self._ms = {int(number): float(ms) for number, ms in map(str.split, whole.splitlines())}
        self._out = file.open("a", buffering=1)

    def say(self, number: int, ms: float) -> None:
        if number not in self._ms:
            self._ms[number] = ms
            self._out.write(f"{number} {ms:.3f}\n")

    def middle(self) -> float:
        return median(self._ms.values()) if self._ms else 0.0

    def close(self) -> None:
        self._out.close()
