"""Programs that somebody is writing in the console: `NAME.yaml` and its rows `NAME.jsonl`, in a folder of the platform.

Called by the console, through service.py. Decides that a draft is the very file that `headrace compile` takes, so that
what was begun in the console goes on in a repository, and back. A draft need not be right: it is being written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from headrace.base.files import write_atomic
from headrace.types.errors import BadInput, NotFound

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MOST_ROWS = 20_000
QUOTES = '"' * 3


@dataclass(slots=True, kw_only=True)
class Draft:
    """`written` as in the YAML. `code`: the text of its module. `rows`: labelled, typed by hand."""

    written: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    code: str = ""

    @property
    def name(self) -> str:
        return str(self.written.get("name", ""))


class Drafts:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(path.stem for path in self.folder.glob("*.yaml"))) if self.folder.is_dir() else ()

    def get(self, name: str) -> Draft:
        """Raises NotFound, or BadInput for a file that cannot be read."""
        path = self._path(name)
        if not path.is_file():
            there = ", ".join(self.names()) or "none yet"
            raise NotFound(f"no program {name!r} is being written; there are: {there}", field="program")
        try:
            written = yaml.safe_load(path.read_text())
            rows = path.with_suffix(".jsonl")
            lines = rows.read_bytes().splitlines() if rows.is_file() else []
            found = [msgspec.json.decode(line, type=dict[str, Any]) for line in lines if line.strip()]
        except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.MsgspecError) as error:
            raise BadInput(f"{path} cannot be read: {error}", field="program") from error
        if not isinstance(written, dict):
            raise BadInput(f"{path} holds a {type(written).__name__}, not a program", field="program")
        return Draft(written=written, rows=found, code=self._code(written))

    def put(self, draft: Draft) -> Path:
        path = self._path(draft.name)
        if len(draft.rows) > MOST_ROWS:
            raise BadInput(f"{len(draft.rows)} rows; allowed: {MOST_ROWS}", field="rows", hint="make a dataset of them")
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = b"".join(msgspec.json.encode(row) + b"\n" for row in draft.rows)
        write_atomic(path.with_suffix(".jsonl"), lines)
        if draft.code and (name := _module(draft.written)):
            write_atomic(self.folder / name, draft.code.encode())
        write_atomic(path, as_yaml(draft.written).encode())
        return path

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise BadInput(f"name is {name!r}; allowed: letters, digits, '.', '_', '-'", field="name")
        return self.folder / f"{name}.yaml"

    def _code(self, written: Mapping[str, Any]) -> str:
        path = self.folder / (_module(written) or ".")
        return path.read_text() if path.is_file() else ""


def as_yaml(written: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(written), sort_keys=False, allow_unicode=True, width=100))


def as_python(written: Mapping[str, Any]) -> str:
    """The same in DSPy's own words, for a notebook."""
    name = "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]+", str(written.get("name", "")))) or "Program"
    fields = [
        *(_field(each, "dspy.InputField") for each in _listed(written, "inputs")),
        *(_field(each, "dspy.OutputField") for each in _listed(written, "outputs")),
    ]
    literal = "from typing import Literal\n\n" if any("Literal[" in line for line in fields) else ""
    words = str(written.get("instructions") or "").replace(QUOTES, "'")
    docstring = f"    {QUOTES}{words}{QUOTES}\n\n" if words else ""
    tools = ", ".join(str(tool) for tool in written.get("tools") or ())
    given = f", tools=[{tools}]" if written.get("kind") == "ReAct" else ""
    body = "\n".join(fields) or "    pass"
    return (
        f"{literal}import dspy\n\n\nclass {name}(dspy.Signature):\n{docstring}{body}\n\n\n"
        f"program = dspy.{written.get('kind') or 'Predict'}({name}{given})\n"
    )


def _field(each: Mapping[str, Any], maker: str) -> str:
    choices = ", ".join(repr(str(choice)) for choice in each.get("choices") or ())
    kind = f"Literal[{choices}]" if choices else str(each.get("type") or "str")
    told = f"desc={str(each['description'])!r}" if each.get("description") else ""
    return f"    {each.get('name') or '_'}: {kind} = {maker}({told})"


def _listed(written: Mapping[str, Any], part: str) -> Sequence[Mapping[str, Any]]:
    return [each for each in written.get(part) or () if isinstance(each, Mapping)]


def _module(written: Mapping[str, Any]) -> str:
    """The name of its module, where that lies beside it."""
    code = written.get("code")
    name = code.get("file") if isinstance(code, Mapping) else ""
    return name if isinstance(name, str) and Path(name).name == name else ""
