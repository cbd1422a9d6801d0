"""A migration as a person describes it, read from YAML.

    name: features
    source: sqlite:////var/lib/app/features.db?table=features
    target: redis://:${REDIS_PASSWORD}@10.0.0.7:6379/0?prefix=features:
    key: {name: user_id, kind: int}
    fields: {spend: float, plan: text, seen: time}

Called by the command line and by applications, which share the file. Decides which names are allowed, and that
`${NAME}` stands for a variable of the environment, so that no password need be in the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import yaml

from headrace.types.errors import BadInput, NotFound
from headrace.types.migration import Field, Kind, Layout, Spec

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
MOST_FIELDS = 500


class _KeyText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str = "key"
    kind: Kind = Kind.TEXT


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    source: str
    target: str
    key: _KeyText = _KeyText()
    fields: dict[str, Kind] = msgspec.field(default_factory=lambda: {"value": Kind.BYTES})
    chunk: int = 1000


def read_spec(path: Path) -> Spec:
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise NotFound(f"there is no file {str(path)!r}", field="spec", hint="see docs/migration.md") from None
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadInput(f"{str(path)!r} is no YAML: {error}", field="spec") from error
    return parse_spec(found, os.environ)


def parse_spec(found: Any, environment: Mapping[str, str]) -> Spec:
    """Raises BadInput naming the part."""
    try:
        text = msgspec.convert(found, _Text)
    except msgspec.ValidationError as error:
        raise BadInput(f"the description of the migration: {error}", field="spec") from error
    if not _NAME.fullmatch(text.name):
        raise BadInput(
            f"name is {text.name!r}; allowed: up to 40 small letters, digits and '_', a letter first", field="name"
        )
    for name in (text.key.name, *text.fields):
        if not _FIELD.fullmatch(name):
            raise BadInput(f"a field is called {name!r}; allowed: letters, digits and '_'", field="fields")
    if text.key.name in text.fields:
        raise BadInput(f"{text.key.name!r} is the key and a field", field="fields")
    if not 1 <= len(text.fields) <= MOST_FIELDS:
        raise BadInput(f"there are {len(text.fields)} fields; allowed: 1 to {MOST_FIELDS}", field="fields")
    if text.key.kind not in (Kind.TEXT, Kind.INT):
        raise BadInput(f"key.kind is {text.key.kind.value!r}; allowed: text, int", field="key")
    if not 1 <= text.chunk <= 10_000:
        raise BadInput(f"chunk is {text.chunk}; allowed: 1 to 10,000", field="chunk")
    source, target = (
        _filled(url, environment, field=f) for url, f in ((text.source, "source"), (text.target, "target"))
    )
    if source == target:
        raise BadInput("source and target are the same store", field="target")
    return Spec(
        name=text.name,
        source=source,
        target=target,
        layout=Layout(
            key=Field(name=text.key.name, kind=text.key.kind),
            fields=tuple(Field(name=name, kind=kind) for name, kind in text.fields.items()),
        ),
        chunk=text.chunk,
    )


def _filled(url: str, environment: Mapping[str, str], *, field: str) -> str:
    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in environment:
            raise BadInput(f"{field} asks for the variable {name}, which is not set", field=field)
        return quote(environment[name], safe="")

    return _VARIABLE.sub(value, url)
