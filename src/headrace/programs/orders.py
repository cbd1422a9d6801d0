"""What a person asks for when a program is to be compiled, read and checked; and how far that is.

Called by service.py and the admin API. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from headrace.programs.compile import Request
from headrace.programs.definition import read_program
from headrace.programs.package import Packed, with_code
from headrace.types.errors import BadInput
from headrace.types.program import Budget, Compilation, Compiled, Phase, Register, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOrder:
    """`program`: as in its YAML. `code`: the text of its module, when it has a file. `how`: optimizer, metric, target,
    seed, threads, budget, settings, reflection_lm. `against`: models:/NAME/VERSION, whose state the new one has to
    beat. `dataset`: name@digest of where the rows are from. `group`: a column whose rows stay on one side."""

    program: dict[str, Any]
    rows: list[dict[str, Any]]
    test: list[dict[str, Any]] = field(default_factory=list)
    code: str = ""
    how: dict[str, Any] = field(default_factory=dict)
    against: str = ""
    dataset: str = ""
    group: str = ""
    register: str = Register.BETTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiling:
    """One compilation, as far as it is. `version`: 0 when nothing was registered; `note` then says why."""

    id: str
    model: str
    began: float
    how: Compilation
    rows: int
    calls: int  # about, when nothing is stopped
    phase: Phase = Phase.RUNNING
    told: str = ""  # the newest word of progress
    share: float = 0.0  # of the calls that it takes when nothing is stopped
    usage: Usage = Usage()  # so far
    error: str = ""
    ended: float = 0.0
    compiled: Compiled | None = None
    version: int = 0
    note: str = ""


def read_order(order: CompileOrder) -> Request:
    """Raises BadInput."""
    program = read_program(order.program)
    if order.register not in set(Register):
        raise BadInput(f"register is {order.register!r}; allowed: {', '.join(Register)}", field="register")
    packed = Packed(program=program)
    if program.code is not None and program.code.file:
        if not order.code:
            raise BadInput(f"the text of {program.code.file} is missing", field="code")
        packed = with_code(program, order.code.encode(), name=program.code.file)
    return Request(
        packed=packed, how=read_how(order.how), rows=tuple(order.rows), test=tuple(order.test), group=order.group
    )


def read_how(written: Mapping[str, Any]) -> Compilation:
    """Raises BadInput."""
    for noun, part in ((Compilation, written), (Budget, written.get("budget") or {})):
        allowed = [item.name for item in fields(noun)]
        if unknown := [name for name in part if name not in allowed]:
            raise BadInput(f"{unknown[0]!r} is not known; allowed: {', '.join(allowed)}", field=str(unknown[0]))
    try:
        how = msgspec.convert(written, Compilation)
    except msgspec.ValidationError as error:
        raise BadInput(f"the compilation cannot be read: {error}", field="how") from error
    for name, value in (("calls", how.budget.calls), ("money", how.budget.money), ("seconds", how.budget.seconds)):
        if value < 0:
            raise BadInput(f"budget.{name} is {value!r}; allowed: 0 or more", field=f"budget.{name}")
    return how
