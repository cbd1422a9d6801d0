"""How a language model is told to write: DSPy's adapters, with the JSON schema of a signature made once.

Called by host.py, compile.py and loader.py. DSPy builds a pydantic class for the schema, and writes the system message
anew, at every call: three quarters of what a call costs it. A signature is the same object from call to call, so both
are kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import dspy
import jiter
from dspy.adapters.chat_adapter import ChatAdapter as DspyChat
from dspy.adapters.json_adapter import JSONAdapter as DspyJson

from headrace.types.program import Writing

_systems: WeakKeyDictionary[Any, dict[type, str]] = WeakKeyDictionary()
_schemas: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()
_requirements: WeakKeyDictionary[Any, dict[type, str]] = WeakKeyDictionary()
_PLAIN = frozenset((str, int, float, bool))  # of values that are written as they are


class _Once:
    """What only depends on the signature is written once."""

    def format_system_message(self, signature: Any) -> str:
        known = _systems.get(signature)
        if known is None:
            known = _systems[signature] = {}
        if type(self) not in known:
            known[type(self)] = super().format_system_message(signature)  # type: ignore[misc]
        return known[type(self)]

    def user_message_output_requirements(self, signature: Any) -> str:
        known = _requirements.get(signature)
        if known is None:
            known = _requirements[signature] = {}
        if type(self) not in known:
            known[type(self)] = super().user_message_output_requirements(signature)  # type: ignore[misc]
        return known[type(self)]

    def format_user_message_content(
        self, signature: Any, inputs: Mapping[str, Any], prefix: str = "", suffix: str = "", main_request: bool = False
    ) -> str:
        """DSPy makes a pydantic adapter for each value, also for a text, which it then writes as it is."""
        given = {name: inputs[name] for name in signature.input_fields if name in inputs}
        if not all(type(value) in _PLAIN for value in given.values()):
            return str(super().format_user_message_content(signature, inputs, prefix, suffix, main_request))  # type: ignore[misc]
        parts = [prefix, *(f"[[ ## {name} ## ]]\n{value}" for name, value in given.items())]
        if main_request:
            parts.append(self.user_message_output_requirements(signature))
        return "\n\n".join([*parts, suffix]).strip()


class ChatAdapter(_Once, DspyChat):  # type: ignore[misc]
    """Of the same name as DSPy's, which knows its adapters by it."""


class JSONAdapter(_Once, DspyJson):  # type: ignore[misc]
    """Of the same name as DSPy's, which knows its adapters by it."""

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


class BriefAdapter(JSONAdapter):
    """The instructions, the inputs as they are, and JSON by a schema."""

    def format_system_message(self, signature: Any) -> str:
        return str(signature.instructions)

    def format_user_message_content(
        self, signature: Any, inputs: Mapping[str, Any], prefix: str = "", suffix: str = "", main_request: bool = False
    ) -> str:
        given = {name: inputs[name] for name in signature.input_fields if name in inputs}
        only = len(given) == 1
        told = "\n".join(str(value) if only else f"{name}: {value}" for name, value in given.items())
        return "\n".join(part for part in (prefix, told, suffix) if part)

    def format_assistant_message_content(
        self, signature: Any, outputs: Mapping[str, Any], missing_field_message: str | None = None
    ) -> str:
        return json.dumps(
            {name: outputs.get(name, missing_field_message) for name in signature.output_fields}, ensure_ascii=False
        )


def adapter_of(writing: Writing) -> dspy.Adapter:
    made = {Writing.JSON: JSONAdapter, Writing.BRIEF: BriefAdapter, Writing.CHAT: ChatAdapter}[writing]
    return made()


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
        found = self._marked() if self._writing is Writing.CHAT else self._json()
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
