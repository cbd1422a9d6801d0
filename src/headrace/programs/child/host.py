"""A program's model host: `python -m headrace.programs.child.host --folder PACKAGE --fd N`.

Started by serving/runtimes/program.py. Opens the program, then answers calls, many at a time: each in a dspy.context of
its own, within its own time, with DSPy's caches, history and traces off. What it asks of language models goes back over
the same socket. Ignores traffic and versions.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import dspy
import numpy as np

from headrace.compute.frames import Blob, Header, Message
from headrace.programs.child.build import ask, open_program
from headrace.programs.child.engine import CALL, HEAR, AsyncEngine, language_model, settings_of
from headrace.programs.child.line import Line, open_line, told
from headrace.programs.child.tracer import noted, watch
from headrace.programs.child.writing import Field, adapter_of
from headrace.programs.definition import signature_of
from headrace.programs.package import Packed
from headrace.serving.codec import dtype_of
from headrace.serving.wire import Table, pack_arrays, unpack_arrays
from headrace.types.program import FieldType

RETRIES = 2  # of one question to a language model, within the call's time


class Host:
    def __init__(self, packed: Packed, module: dspy.Module) -> None:
        self._program = packed.program
        self._module = module
        self._outputs = signature_of(packed.program).outputs
        self._settings: dict[str, Any] = {}
        self._line: Line | None = None
        self._watched = watch(module)
        self._streams = _writes_once(module, self._outputs[0].name)

    def listen(self, line: Line) -> None:
        lm = language_model(self._program, AsyncEngine(line), asyncio.get_running_loop(), retries=RETRIES)
        self._settings = settings_of(lm, adapter_of(self._program.writing))
        self._line = line
        line.send({"ready": True})

    async def take(self, message: Message) -> None:
        with noted(self._watched) as steps:
            answer, packed = await self._told(message)
        if steps:
            answer["steps"] = steps
        if self._line is not None:
            self._line.send({"id": message[0]["id"], **answer}, packed)

    async def _told(self, message: Message) -> tuple[Header, list[Blob]]:
        header, blobs = message
        try:
            async with asyncio.timeout(header.get("left")):
                tensors, packed = pack_arrays(await self._answer(header, unpack_arrays(header["tensors"], blobs)))
            return {"tensors": tensors}, packed
        except TimeoutError:
            return {"error": "the program did not answer in time", "blame": "late"}, []
        except dspy.LMError as error:
            return {"error": told(error), "blame": "lm"}, []
        except Exception as error:  # noqa: BLE001 -- the program's own code ran; its error is the answer
            return {"error": told(error)}, []

    async def _answer(self, header: Header, table: Table) -> Table:
        CALL.set(header["for"])
        if header["op"] == "stream" and self._streams:
            tell = self._teller(header["id"])
            HEAR.set(lambda: Field(self._outputs[0].name, self._program.writing, tell).hear)
        rows = [
            {item.name: _plain(table[item.name][row], item.type) for item in self._program.inputs}
            for row in range(header["rows"])
        ]
        with dspy.context(**self._settings):
            answers = [await ask(self._module, rows[0])] if len(rows) == 1 else await _all(self._module, rows)
        return {spec.name: _column([_value(a, spec.name) for a in answers], dtype_of(spec)) for spec in self._outputs}

    def _teller(self, number: int) -> Any:
        def tell(text: str) -> None:
            if self._line is not None:
                self._line.send({"id": number, "more": True, "text": text})

        return tell


def _writes_once(module: dspy.Module, output: str) -> bool:
    """One question alone has it in its answer: then that is what callers will get. Of several, nobody knows which one
    is the last."""
    return sum(output in predictor.signature.output_fields for predictor in module.predictors()) == 1


async def _all(module: dspy.Module, rows: list[dict[str, Any]]) -> list[Any]:
    """At the same time; one that fails ends the others."""
    tasks = [asyncio.create_task(ask(module, row)) for row in rows]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _plain(value: Any, kind: FieldType) -> Any:
    return str(value) if kind is FieldType.STR else value.item()


def _value(answer: Any, name: str) -> Any:
    """A program of its own making may answer with a prediction or a mapping."""
    found = answer.get(name) if hasattr(answer, "get") else getattr(answer, name, None)
    if found is None:
        raise ValueError(f"the program's answer has no {name!r}")
    return found


def _column(values: list[Any], dtype: np.dtype[Any]) -> Any:
    if dtype.kind != "O":
        return np.array(values, dtype=dtype)
    column = np.empty(len(values), dtype=object)
    column[:] = [value if isinstance(value, str) else str(value) for value in values]
    return column


async def serve(folder: Path, fd: int) -> None:
    failed: Exception | None = None
    host: Host | None = None
    try:
        host = Host(*open_program(folder))
    except Exception as error:  # noqa: BLE001 -- the program's own code ran; whatever it raised is the answer
        failed = error
    line = await open_line(fd, host.take if host else _nothing)
    if host is None or failed is not None:
        line.send({"error": told(failed or RuntimeError("the program did not open"))})
        await asyncio.sleep(0)
        sys.exit(1)
    host.listen(line)
    await line.ended.wait()


async def _nothing(message: Message) -> None:
    """Nobody calls a host that is not ready."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m headrace.programs.child.host")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--fd", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.folder, arguments.fd))


if __name__ == "__main__":
    main()
