"""A program in MLflow's own hands: `mlflow.pyfunc.load_model("models:/ticket/3").predict(rows)`.

MLflow imports this by the name that stands in a version's MLmodel file, so nothing is unpickled. The language model is
found as everywhere else: by the alias, in the lms.yaml of HEADRACE_HOME or HEADRACE_LMS, else the gateway there.
Ignores serving: a deployed program runs in host.py.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import dspy

from headrace.base.settings import load_settings
from headrace.compute.frames import Header, Message
from headrace.programs.child.build import ask, open_program
from headrace.programs.child.engine import CALL, AsyncEngine, Hear, language_model, settings_of
from headrace.programs.child.writing import adapter_of
from headrace.programs.definition import signature_of
from headrace.serving.desk import Desk
from headrace.serving.lm import aliases_of

T = TypeVar("T")
RETRIES = 2
AT_ONCE = 8  # rows


class Direct:
    """Without a process between: this one has the keys anyway."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def ask(self, header: Header, body: bytes, hear: Hear | None = None) -> Message:
        told, answer = await self._desk.ask(header, body, hear)
        return told, [memoryview(answer)]


class LoadedProgram:
    def __init__(self, folder: Path) -> None:
        packed, self._module = open_program(folder)
        self._program = packed.program
        self._outputs = [spec.name for spec in signature_of(packed.program).outputs]
        self._desk = Desk(aliases_of(load_settings()), [packed.program.lm])
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="program", daemon=True).start()
        engine = AsyncEngine(Direct(self._desk))
        lm = language_model(packed.program, engine, self._loop, retries=RETRIES)
        self._settings = settings_of(lm, adapter_of(packed.program.writing))

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """A data frame in, a list of records out."""
        del params
        names = [item.name for item in self._program.inputs]
        rows = [{name: row[name] for name in names} for row in model_input.to_dict(orient="records")]
        return self._run(self._answers(rows))

    async def _answers(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        account, places = self._desk.open(), asyncio.Semaphore(AT_ONCE)
        CALL.set(account.number)

        async def one(row: dict[str, Any]) -> dict[str, Any]:
            async with places:
                answer = await ask(self._module, row)
            return {name: answer[name] for name in self._outputs}

        try:
            with dspy.context(**self._settings):
                return list(await asyncio.gather(*(one(row) for row in rows)))
        finally:
            self._desk.end(account)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _load_pyfunc(path: str) -> LoadedProgram:
    """The name is MLflow's."""
    return LoadedProgram(Path(path))
