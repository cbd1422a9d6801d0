"""How a language model is told to write: DSPy's adapters, with the JSON schema of a signature made once.

Called by host.py, compile.py and loader.py. DSPy builds a pydantic class for the schema at every call, which is two of
the four milliseconds that a call costs it; a signature is the same object from call to call, so its schema is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import dspy
import jiter
from dspy.adapters.json_adapter import JSONAdapter as DspyJson

from headrace.types.program import Writing

_schemas: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


class JSONAdapter(DspyJson):  # type: ignore[misc]
    """Of the same name, by which DSPy knows what it streams."""

    def _prepare_response_format(self, lm: Any, lm_kwargs: dict[str, Any], signature: Any) -> None:
        known = _schemas.get(signature)
        if known is None:
            super()._prepare_response_format(lm, lm_kwargs, signature)
            made = lm_kwargs.get("response_format")
            if made is None or not hasattr(made, "model_json_schema"):
                return
            schema = {"name": "answer", "schema": made.model_json_schema(), "strict": True}
            known = _schemas[signature] = {"type": "json_schema", "json_schema": schema}
        lm_kwargs["response_format"] = known


def adapter_of(writing: Writing) -> dspy.Adapter:
    return JSONAdapter() if writing is Writing.JSON else dspy.ChatAdapter()


class Field:
    """The text of one output field, as far as a half-written answer shows it; what is new of it is handed on."""

    def __init__(self, name: str, writing: Writing, tell: Callable[[str], None]) -> None:
        self._name = name
        self._writing = writing
        self._tell = tell
        self._text = ""
        self._told = 0

    def hear(self, piece: str) -> None:
        self._text += piece
        found = self._json() if self._writing is Writing.JSON else self._marked()
        if len(found) > self._told:
            self._tell(found[self._told :])
            self._told = len(found)

    def _json(self) -> str:
        start = self._text.find("{")
        if start < 0:
            return ""
        try:
            parsed = jiter.from_json(self._text[start:].encode(), partial_mode="trailing-strings")
        except ValueError:
            return ""
        found = parsed.get(self._name) if isinstance(parsed, dict) else None
        return found if isinstance(found, str) else "" if found is None else json.dumps(found)

    def _marked(self) -> str:
        """Between its marker and the next; what may be the beginning of a marker is held back."""
        _, _, after = self._text.partition(f"[[ ## {self._name} ## ]]")
        found = after.partition("[[ ##")[0].strip()
        for length in range(min(len(found), 5), 0, -1):
            if "[[ ##".startswith(found[-length:]):
                return found[:-length].rstrip()
        return found
