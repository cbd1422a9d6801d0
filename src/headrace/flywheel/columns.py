"""Which columns a data set has as a table, and of which kind each is. Pure; called by export.py.

Decides that named inputs become one column each (`inputs.age`), and the narrowest kind that holds all values of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INT64 = 1 << 63
_NUMBERS = frozenset((int, float))


class Columns:
    """Looks at every row once. `kinds` are those of store/rows.py, in order of first appearance."""

    def __init__(self, first: tuple[str, ...]) -> None:
        self._kinds: dict[str, str] = dict.fromkeys(first, "null")

    @property
    def kinds(self) -> dict[str, str]:
        """Without the plain `inputs` when all inputs are named."""
        named = any(name.startswith("inputs.") for name in self._kinds)
        return {n: k for n, k in self._kinds.items() if not (n == "inputs" and k == "null" and named)}

    def look(self, row: Mapping[str, Any]) -> None:
        for name, value in flatten(row).items():
            known = self._kinds.setdefault(name, "null")
            if known != "json" and value is not None and (kind := kind_of(value)) != known:
                self._kinds[name] = join(known, kind)


def flatten(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row as a table has it."""
    inputs = row.get("inputs")
    if not isinstance(inputs, dict):
        return row
    flat = {name: value for name, value in row.items() if name != "inputs"}
    return flat | {f"inputs.{name}": value for name, value in inputs.items()}


def kind_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int" if -INT64 <= value < INT64 else "json"
        case float():
            return "float"
        case str():
            return "str"
        case list() if _NUMBERS.issuperset(map(type, value)):
            return "list[float]"
        case _:
            return "json"


def join(one: str, other: str) -> str:
    """The narrowest kind that holds both."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    return "float" if {one, other} == {"int", "float"} else "json"
