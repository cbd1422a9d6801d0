"""A program from the folder in which somebody keeps it: the YAML, and its module beside it.

Called by the flywheel, whose folder holds the program that its turns compile.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from headrace.programs.definition import read_program
from headrace.programs.package import Packed, with_code
from headrace.types.errors import BadInput


def read_source(folder: Path, name: str) -> Packed:
    """Raises BadInput. Neither file may lie outside of the folder."""
    path = _inside(folder, name)
    try:
        written = yaml.safe_load(path.read_text())
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{name} is not YAML: {error}", field="program") from error
    if not isinstance(written, dict):
        raise BadInput(f"{name} holds a {type(written).__name__}, not the parts of a program", field="program")
    program = read_program(written)
    if program.code is None or not program.code.file:
        return Packed(program=program)
    code = _inside(folder, program.code.file)
    return with_code(program, code.read_bytes(), name=code.name)


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise BadInput(f"there is no file {name!r} in {str(folder)!r}", field="program")
    return path
