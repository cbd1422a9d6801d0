"""What Anthropic's forms share: usage, reasons to stop, errors, and where a prompt and parameters go.

Called by the anthropic_*.py dialects.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.gateway.dialects import fields
from headrace.gateway.dialects.failures import complaint, failure_of
from headrace.gateway.sse import framed
from headrace.types.errors import HeadraceError
from headrace.types.gateway import Chat, Failure, Usage

FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_NAMES = {"max_completion_tokens": "max_tokens", "stop": "stop_sequences"}
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Anthropic:
    """The errors of all of Anthropic's forms, in and out."""

    def failure(self, status: int, body: bytes) -> tuple[Failure, str]:
        told = complaint(body)
        return failure_of(status, told), told.message

    def error(self, error: HeadraceError, status: int) -> bytes:
        return fields.encoded(_object(error, status))

    def error_event(self, error: HeadraceError) -> bytes:
        return framed(fields.encoded(_object(error, 500)), b"error")

    def refusal(self, status: int, failure: Failure, message: str) -> bytes:
        told = {"type": _type(status), "message": message}
        return fields.encoded({"type": "error", "error": told, "request_id": None})


def usage_of(told: Any) -> Usage | None:
    """Input, cache read and cache write do not overlap here; the thinking is counted in the output."""
    if not isinstance(told, dict):
        return None
    details = told.get("output_tokens_details")
    thought = _count(details, "thinking_tokens") if isinstance(details, dict) else 0
    return Usage(
        input=_count(told, "input_tokens"),
        cache_read=_count(told, "cache_read_input_tokens"),
        cache_write=_count(told, "cache_creation_input_tokens"),
        output=max(0, _count(told, "output_tokens") - thought),
        reasoning=thought,
    )


def dressed(top: dict[str, msgspec.Raw], chat: Chat) -> dict[str, msgspec.Raw]:
    """The prompt goes before `system`, which may be a text or a list of blocks."""
    changed = fields.with_parameters(top, chat, (), _NAMES)
    if chat.prompt:
        system = fields.value(top, "system")
        if isinstance(system, list):
            blocks = [{"type": "text", "text": chat.prompt}, *fields.listed(top, "system")]
            changed["system"] = msgspec.Raw(fields.encoded(blocks))
        else:
            text = f"{chat.prompt}\n\n{system}" if system else chat.prompt
            changed["system"] = msgspec.Raw(fields.encoded(text))
    return changed


def _object(error: HeadraceError, status: int) -> dict[str, Any]:
    told = {"type": _type(status), "message": error.sentence()}
    return {"type": "error", "error": told, "request_id": error.trace_id or None}


def _type(status: int) -> str:
    return _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")


def _count(told: dict[str, Any], name: str) -> int:
    found = told.get(name)
    return found if isinstance(found, int) else 0
