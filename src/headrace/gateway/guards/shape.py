"""An answer must be JSON, of a schema if one is given.

`settings`: `schema`, a JSON Schema, or nothing for any JSON. A stream is held until its end: half a document
proves nothing. Needs the extra `guards` for a schema.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.gateway.guards.base import WHOLE, Memory, Span, only
from headrace.types.errors import BadInput, Blocked


class Shape:
    hold = WHOLE

    def __init__(self, settings: dict[str, Any]) -> None:
        only(settings, "schema")
        self._validator: Any = None
        schema = settings.get("schema")
        if schema is None:
            return
        try:
            from jsonschema_rs import ValidationError, validator_for  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise BadInput(
                "a schema needs the package jsonschema-rs", field="schema", hint="pip install 'headrace[guards]'"
            ) from error
        try:
            self._validator = validator_for(schema)
        except (ValidationError, ValueError) as error:
            raise BadInput(f"schema: {str(error).splitlines()[0]}", field="schema") from error

    def before(self, text: str, memory: Memory) -> list[Span]:
        return []

    def after(self, text: str, memory: Memory) -> list[Span]:
        return []

    def end(self, text: str) -> None:
        try:
            found = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Blocked(f"the answer is not JSON: {error}", field="answer") from error
        if self._validator is None:
            return
        wrong = next(iter(self._validator.iter_errors(found)), None)
        if wrong is not None:
            where = "/".join(str(part) for part in wrong.instance_path) or "the answer"
            raise Blocked(f"{where}: {wrong.message[:300]}", field="answer")
