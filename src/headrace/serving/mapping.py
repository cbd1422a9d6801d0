"""Between rows and somebody else's JSON: a template to fill, and paths to read. Pure; nothing is evaluated.

Called by runtimes/legacy.py. In the template, a text that starts with `$` stands for values:

    $rows          all rows: records of a table, or arrays
    $rows.NAME     of each row the value called NAME, as a list
    $row           the one row, where each row is a request of its own
    $row.NAME      its value called NAME
    $$…            the text itself, from the second $ on

A path leads to an output in the answer: names divided by dots, `[2]` for a place in a list, `[]` for each of its
entries. `predictions[].label` is a list of labels; an empty path is the whole answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from headrace.types.errors import BadInput

_PART = re.compile(r"\.?([^.\[\]]+)|\[(\d*)\]")
EACH = -1

Path = tuple[str | int, ...]


def check_template(template: Any, names: Sequence[str], *, each: bool) -> None:
    """Raises BadInput naming the first place that stands for nothing, or when no place stands for the rows at all."""
    word = "$row" if each else "$rows"
    allowed = (word, *(f"{word}.{name}" for name in names))
    places = list(_places(template))
    for place in places:
        if place not in allowed:
            raise BadInput(f"{place!r} stands for nothing; allowed: {', '.join(allowed)}", field="request")
    if not places:
        raise BadInput(f"request has no place for the rows; write one of {', '.join(allowed)}", field="request")


def fill(template: Any, rows: Any, *, each: bool) -> Any:
    """`rows`: the list of all rows, or with `each` the one row."""
    if isinstance(template, dict):
        return {name: fill(value, rows, each=each) for name, value in template.items()}
    if isinstance(template, list):
        return [fill(value, rows, each=each) for value in template]
    if not isinstance(template, str) or not template.startswith("$"):
        return template
    if template.startswith("$$"):
        return template[1:]
    _, _, name = template.partition(".")
    if not name:
        return rows
    return rows[name] if each else [row[name] for row in rows]


def parse_path(text: str) -> Path:
    """Raises BadInput."""
    found: list[str | int] = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None or (match[1] and at and not text[at] == "."):
            raise BadInput(f"path {text!r} cannot be read from {text[at:]!r} on; write such as result.scores[].value")
        found.append(match[1] if match[1] else int(match[2]) if match[2] else EACH)
        at = match.end()
    return tuple(found)


def read(path: Path, value: Any) -> Any:
    """Raises LookupError naming what is not there."""
    for place, part in enumerate(path):
        if part == EACH:
            if not isinstance(value, list):
                raise LookupError(f"{_shown(path[:place])} is {_kind(value)}, not a list")
            return [read(path[place + 1 :], entry) for entry in value]
        try:
            value = _step(value, part)
        except LookupError:
            raise LookupError(f"{_shown(path[:place])} is {_kind(value)} without {part!r}") from None
    return value


def _step(value: Any, part: str | int) -> Any:
    if isinstance(part, str) and isinstance(value, dict):
        return value[part]
    if isinstance(part, int) and isinstance(value, list):
        return value[part]
    raise LookupError


def _places(template: Any) -> list[str]:
    if isinstance(template, dict):
        return [place for value in template.values() for place in _places(value)]
    if isinstance(template, list):
        return [place for value in template for place in _places(value)]
    return [template] if isinstance(template, str) and template.startswith("$") and template[1:2] != "$" else []


def _shown(path: Path) -> str:
    parts = (f".{part}" if isinstance(part, str) else "[]" if part == EACH else f"[{part}]" for part in path)
    return "".join(parts).lstrip(".") or "the answer"


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")
