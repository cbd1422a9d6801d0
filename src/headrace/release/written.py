"""Nouns out of what a person wrote in YAML or JSON: no unknown part is passed over in silence.

Called where descriptions are read (services, and the gateway's configuration). A misspelt `wieght` would else be a
default, and nobody would know.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from headrace.types.errors import BadInput

Noun = TypeVar("Noun")


def read_written(text: Any, kind: type[Noun], *, field: str) -> Noun:
    """Raises BadInput naming the part."""
    _check_known(text, kind, field)
    try:
        return msgspec.convert(text, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{field}: {error}", field=field) from error


def _check_known(value: Any, kind: Any, path: str) -> None:
    for each in _inner(kind):
        if is_dataclass(each) and isinstance(value, dict):
            hints = get_type_hints(each)
            known = {f.name for f in fields(each)}
            if strange := [name for name in value if name not in known]:
                raise BadInput(
                    f"{path} has {strange[0]!r}, which is not known; allowed: {', '.join(sorted(known))}",
                    field=f"{path}.{strange[0]}",
                )
            for name, part in value.items():
                _check_known(part, hints[name], f"{path}.{name}")
        elif isinstance(value, list) and get_origin(kind) in (tuple, list):
            for number, part in enumerate(value):
                _check_known(part, each, f"{path}[{number}]")


def _inner(kind: Any) -> tuple[Any, ...]:
    """What a value of this type may be, or what its elements may be."""
    if get_origin(kind) in (tuple, list):
        return tuple(arg for arg in get_args(kind) if arg is not Ellipsis)
    return get_args(kind) if isinstance(kind, UnionType) else (kind,)
