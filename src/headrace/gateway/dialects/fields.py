"""Reading and changing the top level of a JSON request without parsing the rest.

Called by the dialects. Decides what a request must have to be sent on at all: an object, a model's name, a `stream`
that is true or false. All else is the upstream's to complain about.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.gateway.dialects.base import Asked
from headrace.types.errors import BadInput
from headrace.types.gateway import Chat

_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()
encoded = _ENCODER.encode
_decode = _ANY.decode


def top(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _TOP.decode(body)
    except msgspec.ValidationError as error:
        raise BadInput(f"the body must be a JSON object: {error}", field="body") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"the body is not JSON: {error}", field="body") from error


def value(fields: dict[str, msgspec.Raw], name: str) -> Any:
    """None when it is missing, null, or no JSON."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{name!r} is not JSON: {error}", field=name) from error


def read(fields: dict[str, msgspec.Raw], names: frozenset[str]) -> dict[str, Any]:
    """Parsed: those of `names` that are there. The rest of a request may be long, and stays as it is."""
    try:
        return {name: _decode(raw) for name, raw in fields.items() if name in names}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {name: value(fields, name) for name in fields if name in names}  # raises, and says which


def name_of_model(given: dict[str, Any], known: str = "") -> str:
    model = given.get("model")
    if model is None and known:
        return known
    if not isinstance(model, str) or not model:
        raise BadInput(
            f"'model' must be the name of a model, not {model!r}", field="model", hint="GET /v1/models lists them"
        )
    return model


def flag(given: dict[str, Any], name: str) -> bool:
    found = given.get(name)
    if found is not None and not isinstance(found, bool):
        raise BadInput(f"{name!r} must be true or false, not {found!r}", field=name)
    return bool(found)


def text(given: dict[str, Any], *names: str) -> str:
    """The first that is one; empty when it is anything else: only the upstream knows whether that is wrong."""
    for name in names:
        found = given.get(name)
        if found and isinstance(found, str):
            return found
    return ""


def count(given: dict[str, Any], *names: str) -> int:
    """The first that is a positive number."""
    for name in names:
        found = given.get(name)
        if isinstance(found, int) and not isinstance(found, bool) and found > 0:
            return found
    return 0


def sent(asked: Asked, changes: dict[str, Any]) -> bytes:
    """Written anew from the fields that were read, never the caller's bytes: a body that names `model` twice must not
    mean one thing to us and another to the upstream. Values keep their bytes; only space between them goes."""
    fields: dict[str, Any] = {**asked.fields, **changes} if changes else asked.fields
    return encoded(fields)


def with_parameters(
    fields: dict[str, msgspec.Raw], chat: Chat, same: tuple[tuple[str, ...], ...], names: dict[str, str]
) -> dict[str, msgspec.Raw]:
    """`same`: groups of names that mean the same, so that a caller who set one has set the other. `names`: what a
    parameter is called here, by what a version of a chat endpoint calls it (as OpenAI does)."""
    fields = dict(fields)
    for name, given in chat.parameters.items():
        here = names.get(name, name)
        if all(value(fields, alias) is None for alias in _aliases(here, same)):
            fields[here] = msgspec.Raw(encoded(given))
    for name, given in chat.forced.items():
        here = names.get(name, name)
        for alias in _aliases(here, same):
            fields.pop(alias, None)
        if given is not None:
            fields[here] = msgspec.Raw(encoded(given))
    return fields


def listed(fields: dict[str, msgspec.Raw], name: str) -> list[msgspec.Raw]:
    """The items of a list, unparsed."""
    try:
        return msgspec.json.decode(fields.get(name, b"null"), type=list[msgspec.Raw] | None) or []
    except msgspec.DecodeError as error:
        raise BadInput(f"{name!r} must be a list: {error}", field=name) from error


def _aliases(name: str, same: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    return next((group for group in same if name in group), (name,))
