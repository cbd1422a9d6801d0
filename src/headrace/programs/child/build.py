"""From a package to a dspy.Module, ready to be asked.

Called by host.py, compile.py and loader.py. Decides how declared fields become a signature, and where a program's own
code is imported from. Nothing is unpickled: a state is JSON.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import dspy

from headrace.programs.package import CODE, Packed, read_package
from headrace.types.errors import ModelRefused
from headrace.types.program import Code, FieldType, ModuleKind, Program, ProgramField

_TYPES = {FieldType.STR: str, FieldType.INT: int, FieldType.FLOAT: float, FieldType.BOOL: bool}


def open_program(folder: Path) -> tuple[Packed, dspy.Module]:
    """Raises ModelRefused, or whatever the program's own code raises."""
    packed = read_package(folder)
    module = build(packed.program, folder)
    if packed.state:
        load(module, packed.state)
    return packed, module


def build(program: Program, folder: Path) -> dspy.Module:
    """Without what compiling has found."""
    code = import_code(program.code, folder) if program.code is not None else None
    if code is not None and program.code is not None and not program.tools:
        module = getattr(code, program.code.build)()
        if not isinstance(module, dspy.Module):
            raise ModelRefused(
                f"{program.code.build}() returned {type(module).__name__}, not a dspy.Module", field="code"
            )
        return module
    module = _declared(program, code)
    demos = [dspy.Example(**example).with_inputs(*(i.name for i in program.inputs)) for example in program.examples]
    for predictor in module.predictors():
        predictor.demos = list(demos)
    return module


def state_of(module: dspy.Module) -> dict[str, Any]:
    """By name of each predictor, also for a module that is one itself (DSPy's own dump has no name then)."""
    return {name: predictor.dump_state() for name, predictor in module.named_predictors()}


def load(module: dspy.Module, state: Mapping[str, Any]) -> None:
    """Raises ModelRefused for a state of another program."""
    predictors = dict(module.named_predictors())
    if set(predictors) != set(state):
        raise ModelRefused(
            f"the state is of {', '.join(sorted(state))}; the program has {', '.join(sorted(predictors))}",
            field="package",
        )
    for name, predictor in predictors.items():
        predictor.load_state(state[name])


def import_code(code: Code, folder: Path) -> Any:
    """Its file in the package, whose hash read_package has checked; or a module that is installed."""
    if code.module:
        return import_module(code.module)
    path = folder / CODE / code.file
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ModelRefused(f"{code.file} cannot be imported", field="code")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


async def ask(module: dspy.Module, row: Mapping[str, Any]) -> Any:
    """One prediction. A module that has no asynchronous way of its own runs in a thread."""
    if hasattr(module, "aforward"):
        return await module.acall(**row)
    return await asyncio.to_thread(module, **row)


def _declared(program: Program, code: Any) -> dspy.Module:
    fields = {item.name: (_type_of(item), dspy.InputField(desc=item.description)) for item in program.inputs}
    fields |= {item.name: (_type_of(item), dspy.OutputField(desc=item.description)) for item in program.outputs}
    instructions = program.instructions or None
    signature = dspy.Signature(fields, instructions) if instructions else dspy.Signature(fields)
    if program.kind is ModuleKind.CHAIN_OF_THOUGHT:
        return dspy.ChainOfThought(signature)
    if program.kind is ModuleKind.REACT:
        tools: list[Callable[..., Any]] = [getattr(code, name) for name in program.tools]
        return dspy.ReAct(signature, tools=tools, max_iters=program.max_steps)
    return dspy.Predict(signature)


def _type_of(item: ProgramField) -> Any:
    return Literal[item.choices] if item.choices else _TYPES[item.type]
