"""A program as somebody wrote it: YAML or JSON in, a noun out, and what it looks like to callers.

Called by compile.py, package.py, the command line and the console. Decides what is allowed; says what is wrong with
the field's name. Ignores DSPy.

    name: ticket
    lm: fast                               # an alias
    instructions: Say which team answers this mail.
    inputs:  [{name: text, description: the mail}]
    outputs: [{name: team, choices: [billing, technical, sales]}]
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import msgspec

from headrace.types.errors import BadInput
from headrace.types.model import Datatype, Layout, Signature, TensorSpec
from headrace.types.program import Code, FieldType, ModuleKind, Program, ProgramField

REASONING = "reasoning"  # what a chain of thought answers besides
DATATYPES = {
    FieldType.STR: Datatype.BYTES,
    FieldType.INT: Datatype.INT64,
    FieldType.FLOAT: Datatype.FP64,
    FieldType.BOOL: Datatype.BOOL,
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LONGEST_ANSWER = 131_072  # tokens
_SECRETS = re.compile(r"(?i)\b(sk-[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|Bearer\s+\S{16,})")


def read_program(written: Mapping[str, Any]) -> Program:
    """Raises BadInput."""
    _known(written, Program, "")
    for part in ("inputs", "outputs"):
        for number, item in enumerate(_listed(written, part)):
            _known(item, ProgramField, f"{part}[{number}].")
    if isinstance(written.get("code"), Mapping):
        _known(written["code"], Code, "code.")
    try:
        program = msgspec.convert(written, Program)
    except msgspec.ValidationError as error:
        raise BadInput(f"the program cannot be read: {error}", field="program") from error
    _check(program)
    return program


def signature_of(program: Program) -> Signature:
    """As callers see it: one column for each field; a chain of thought's reasoning comes last."""
    outputs = [_spec(item) for item in program.outputs]
    if program.code is None and program.kind is ModuleKind.CHAIN_OF_THOUGHT:
        outputs.append(TensorSpec(name=REASONING, datatype=Datatype.BYTES, shape=(-1,)))
    return Signature(
        inputs=tuple(_spec(item) for item in program.inputs), outputs=tuple(outputs), layout=Layout.COLUMNS
    )


def check_row(program: Program, row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """An example: every field of the program, of its type; other columns are left out. Raises BadInput."""
    found = {}
    for item in (*program.inputs, *program.outputs):
        value = row.get(item.name)
        if value is None:
            there = ", ".join(map(str, row)) or "nothing"
            raise BadInput(f"{where} has no {item.name!r}; it has: {there}", field=f"{where}.{item.name}")
        found[item.name] = _typed(item, value, f"{where}.{item.name}")
    return found


def refuse_secrets(text: str, field: str) -> None:
    """What looks like a key has no place in a program: it would be in every copy of it. Raises BadInput."""
    if _SECRETS.search(text):
        raise BadInput(
            f"{field} holds what looks like a key",
            field=field,
            hint="keys belong to the alias of the language model: see docs/programs.md",
        )


def _check(program: Program) -> None:
    if not _NAME.fullmatch(program.name):
        raise BadInput(f"name is {program.name!r}; allowed: letters, digits, '.', '_', '-'", field="name")
    if not _NAME.fullmatch(program.lm):
        hint = "an alias, such as fast; where it leads is said in lms.yaml or by the gateway"
        raise BadInput(f"lm is {program.lm!r}; allowed: letters, digits, '.', '_', '-'", field="lm", hint=hint)
    _check_fields(program)
    _check_numbers(program)
    _check_code(program)
    for number, example in enumerate(program.examples):
        check_row(program, example, f"examples[{number}]")
    refuse_secrets(msgspec.json.encode(program).decode(), "program")


def _check_fields(program: Program) -> None:
    seen = set[str]()
    for part, items in (("inputs", program.inputs), ("outputs", program.outputs)):
        if not items:
            raise BadInput(f"{part} is empty; a program has one at least", field=part)
        for number, item in enumerate(items):
            name, where = item.name, f"{part}[{number}].name"
            if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_") or name == REASONING:
                raise BadInput(
                    f"a field is called {name!r}; allowed: names as Python has them, other than {REASONING!r}",
                    field=where,
                )
            if name in seen:
                raise BadInput(f"two fields are called {name!r}", field=where)
            seen.add(name)


def _check_numbers(program: Program) -> None:
    for name, value, low, high in (
        ("temperature", program.temperature, 0, 2),
        ("max_tokens", program.max_tokens, 1, _LONGEST_ANSWER),
        ("max_steps", program.max_steps, 1, 100),
    ):
        if not low <= value <= high:
            raise BadInput(f"{name} is {value!r}; allowed: {low} to {high}", field=name)
    for item in (*program.inputs, *program.outputs):
        if item.choices and item.type is not FieldType.STR:
            raise BadInput(f"{item.name!r} has choices and is {item.type.value}; only str may", field=item.name)


def _check_code(program: Program) -> None:
    code = program.code
    if code is not None and bool(code.file) == bool(code.module):
        raise BadInput("code has either a file or a module", field="code")
    if code is not None and not code.build.isidentifier():
        raise BadInput(f"code.build is {code.build!r}; it is the name of a function", field="code.build")
    if program.kind is ModuleKind.REACT and not (code and program.tools):
        raise BadInput("ReAct needs tools, and code that defines them", field="tools")
    if program.tools and program.kind is not ModuleKind.REACT:
        raise BadInput(f"{program.kind.value} takes no tools; ReAct does", field="tools")


def _spec(item: ProgramField) -> TensorSpec:
    return TensorSpec(name=item.name, datatype=DATATYPES[item.type], shape=(-1,))


def _typed(item: ProgramField, value: Any, where: str) -> Any:
    if item.type is FieldType.STR:
        text = value if isinstance(value, str) else str(value)
        if item.choices and text not in item.choices:
            raise BadInput(f"{where} is {text[:80]!r}; allowed: {', '.join(item.choices)}", field=where)
        return text
    kind = {FieldType.INT: int, FieldType.FLOAT: float, FieldType.BOOL: bool}[item.type]
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(f"{where} is {value!r}; it is to be {item.type.value}", field=where) from error


def _listed(written: Mapping[str, Any], part: str) -> list[Any]:
    found = written.get(part, [])
    if not isinstance(found, (list, tuple)):
        raise BadInput(f"{part} is {type(found).__name__}, not a list", field=part)
    return list(found)


def _known(written: Any, noun: type, where: str) -> None:
    if not isinstance(written, Mapping):
        raise BadInput(f"{where or 'the program'} is {type(written).__name__}, not names and values", field="program")
    allowed = [item.name for item in fields(noun)]
    for name in written:
        if name not in allowed:
            raise BadInput(f"{where}{name} is not known; allowed: {', '.join(allowed)}", field=f"{where}{name}")
