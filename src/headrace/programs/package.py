"""The folder that a program travels in: text alone, and nothing that says where a language model is or opens it.

Called by compile.py (write), prepare.py, child/ and the MLflow loader (read). Decides the layout, checks the hash of
the code, and takes keys and addresses out of a state. Reads what earlier versions of this format wrote.

    program.json   {"format": 1, "program": {…}, "compiled": {…}}
    state.json     what compiling found: demos and instructions of each predictor, as DSPy saves them
    code/          the program's own module, when it has one
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from headrace.programs.definition import read_program, refuse_secrets
from headrace.types.errors import BadInput, ModelRefused
from headrace.types.program import Code, Program

FORMAT = 1
DESCRIPTION, STATE, CODE = "program.json", "state.json", "code"
_CODE_BYTES = 1 << 20
_KEPT = ("demos", "signature", "fields")  # of a predictor's state


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A program, what compiling gave it, and its code by name of the file."""

    program: Program
    state: dict[str, Any] = field(default_factory=dict)
    code: bytes = b""
    compiled: dict[str, Any] = field(default_factory=dict)  # by what, with which result: for people


def write_package(packed: Packed, folder: Path) -> None:
    """Raises BadInput for code or a state that holds what looks like a key."""
    folder.mkdir(parents=True, exist_ok=True)
    program = packed.program
    described = {"format": FORMAT, "program": program, "compiled": packed.compiled}
    state = msgspec.json.encode(cleaned(packed.state))
    refuse_secrets(state.decode(), "state")
    (folder / DESCRIPTION).write_bytes(msgspec.json.format(msgspec.json.encode(described), indent=2))
    (folder / STATE).write_bytes(msgspec.json.format(state, indent=2))
    if program.code is not None and program.code.file:
        refuse_secrets(packed.code.decode(errors="replace"), "code")
        (folder / CODE).mkdir(exist_ok=True)
        (folder / CODE / program.code.file).write_bytes(packed.code)


def read_package(folder: Path) -> Packed:
    """Raises ModelRefused for a folder that is none, or whose code is not the code that was packed."""
    try:
        written = msgspec.json.decode((folder / DESCRIPTION).read_bytes(), type=dict[str, Any])
        state = msgspec.json.decode((folder / STATE).read_bytes(), type=dict[str, Any])
        number = written.get("format")
        if number not in range(1, FORMAT + 1):
            raise ModelRefused(
                f"{DESCRIPTION} has format {number!r}; this Headrace reads 1 to {FORMAT}", field="package"
            )
        program = read_program(written["program"])
    except (OSError, msgspec.DecodeError, KeyError, BadInput) as error:
        told = error.sentence() if isinstance(error, BadInput) else str(error)
        raise ModelRefused(f"the program in {folder.name} cannot be read: {told}", field="package") from error
    return Packed(program=program, state=state, code=_code(folder, program), compiled=written.get("compiled", {}))


def package_in(artifact: Path) -> Path | None:
    """The program's folder in an MLflow model's; None: it is no program."""
    found = next(iter(sorted((artifact / "data").glob(f"*/{DESCRIPTION}"))), None)
    return found.parent if found else None


def with_code(program: Program, text: bytes, *, name: str) -> Packed:
    """A program whose module is the file `name`, copied into the package. Raises BadInput."""
    if len(text) > _CODE_BYTES:
        raise BadInput(f"code has {len(text)} bytes; allowed: {_CODE_BYTES}", field="code")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*\.py", name):
        raise BadInput(f"code is called {name!r}; allowed: the name of a Python module, ending in .py", field="code")
    refuse_secrets(text.decode(errors="replace"), "code")
    written = program.code or Code(file=name)
    code = replace(written, file=name, module="", sha256=sha256(text).hexdigest())
    return Packed(program=replace(program, code=code), code=text)


def cleaned(state: Mapping[str, Any]) -> dict[str, Any]:
    """Of each predictor its examples and instructions, and nothing else: which language model it was compiled with, at
    which address and with which key, is not the program's business, and traces may hold anything."""
    return {
        name: {"traces": [], "train": [], "lm": None} | {part: known[part] for part in _KEPT if part in known}
        for name, known in state.items()
        if isinstance(known, Mapping) and "signature" in known
    }


def _code(folder: Path, program: Program) -> bytes:
    code = program.code
    if code is None or not code.file:
        return b""
    path = folder / CODE / Path(code.file).name
    if not path.is_file():
        raise ModelRefused(f"the package has no {CODE}/{code.file}", field="package")
    text = path.read_bytes()
    if (found := sha256(text).hexdigest()) != code.sha256:
        raise ModelRefused(
            f"{code.file} has sha256 {found[:12]}…, the program was packed with {code.sha256[:12]}…", field="package"
        )
    return text
