"""Whether a request to a chat model changes anything by being asked. Pure.

Called before a call is asked a second time for nobody (shadow.py, checking.py), and before it is answered with what
another one was told (semantic.py). A tool that the caller runs itself is a word in an
answer; one that the provider runs has been run. What is kept at the provider, goes on in its background, or goes on
from what it keeps, is never asked twice. What is not known to be harmless is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from headrace.gateway.dialects.base import Asked
from headrace.gateway.dialects.fields import value
from headrace.types.gateway import Wire

_FALSE = msgspec.Raw(b"false")
_KEPT_THERE = ("store", "background", "conversation", "previous_response_id", "web_search_options", "mcp_servers")
_ELSEWHERE = ("container", "cachedContent", "cached_content", "prompt")  # of Responses, `prompt` is one kept there


def without_effects(wire: Wire, asked: Asked) -> Asked | None:
    """The same request, said so that nothing is kept; None when it has effects, or has no text to compare."""
    runs = _TOOLS.get(wire)
    if runs is None or asked.raw:
        return None
    fields = asked.fields
    if any(value(fields, name) for name in _KEPT_THERE):
        return None
    if any(value(fields, name) for name in _ELSEWHERE if not (name == "prompt" and wire is Wire.COMPLETIONS)):
        return None
    tools = value(fields, "tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) and runs(tool) for tool in tools):
        return None
    if wire is not Wire.RESPONSES:
        return asked
    return msgspec.structs.replace(
        asked, fields={**fields, "store": _FALSE}, document=None
    )  # else it keeps what nobody forbade


def _openai(tool: dict[str, Any]) -> bool:
    return tool.get("type") in ("function", "custom")


def _anthropic(tool: dict[str, Any]) -> bool:
    return tool.get("type") in (None, "custom")


def _gemini(tool: dict[str, Any]) -> bool:
    return set(tool) <= {"functionDeclarations", "function_declarations"}


def _none(_: dict[str, Any]) -> bool:
    return False


# By form with texts: whether a tool is the caller's own.
_TOOLS: dict[Wire, Callable[[dict[str, Any]], bool]] = {
    Wire.CHAT: _openai,
    Wire.RESPONSES: _openai,
    Wire.MESSAGES: _anthropic,
    Wire.GEMINI: _gemini,
    Wire.COMPLETIONS: _none,
}
