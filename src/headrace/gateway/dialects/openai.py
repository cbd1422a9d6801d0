"""What all of OpenAI's forms share: how usage is told, what an error looks like, where the answer's events end.

Called by the openai_*.py dialects. Decides how OpenAI's overlapping counts become buckets that do not overlap.
"""

from __future__ import annotations

from typing import Any

from headrace.gateway.dialects.failures import complaint, failure_of
from headrace.gateway.dialects.fields import encoded
from headrace.gateway.sse import framed
from headrace.types.errors import HeadraceError
from headrace.types.gateway import Failure, Usage

DONE = b"[DONE]"
# What a version's parameters are called, and which of them say the same.
SAME = (("max_tokens", "max_completion_tokens"),)
FINISHES = {"function_call": "tool_calls", "model_length": "length", "max_tokens": "length", "eos": "stop"}
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_FAILED = {
    Failure.CONTEXT: ("invalid_request_error", "context_length_exceeded"),
    Failure.CONTENT: ("invalid_request_error", "content_filter"),
    Failure.RATE_LIMIT: ("rate_limit_error", "rate_limit_exceeded"),
}


class OpenAI:
    """The errors of all of OpenAI's forms, in and out."""

    def failure(self, status: int, body: bytes) -> tuple[Failure, str]:
        told = complaint(body)
        return failure_of(status, told), told.message

    def error(self, error: HeadraceError, status: int) -> bytes:
        return encoded({"error": _object(error, status)})

    def error_event(self, error: HeadraceError) -> bytes:
        """Clients raise on an `error` in the data, whatever the event is called."""
        return framed(encoded({"error": _object(error, 500)}))

    def refusal(self, status: int, failure: Failure, message: str) -> bytes:
        kind, code = _FAILED.get(failure, (_type(status), _CODES.get(status)))
        return encoded({"error": {"message": message, "type": kind, "param": None, "code": code}})


def usage_of(told: Any) -> Usage | None:
    """From `usage`, in which the cached and the spoken are counted in the whole, and (nearly always) the reasoning in
    the completion. Also of a Responses answer, where the whole is called input and output."""
    if not isinstance(told, dict):
        return None
    prompt, completion = told.get("prompt_tokens"), told.get("completion_tokens")
    if not isinstance(prompt, int):
        prompt = _count(told, "input_tokens")
    if not isinstance(completion, int):
        completion = _count(told, "output_tokens")
    read = written = heard = spoken = reasoned = 0
    asked = told.get("prompt_tokens_details") or told.get("input_tokens_details")
    answered = told.get("completion_tokens_details") or told.get("output_tokens_details")
    if isinstance(asked, dict):
        read, written = _count(asked, "cached_tokens"), _count(asked, "cache_write_tokens")
        heard = _count(asked, "audio_tokens")
    if isinstance(answered, dict):
        spoken, reasoned = _count(answered, "audio_tokens"), _count(answered, "reasoning_tokens")
    if not read and ("prompt_cache_hit_tokens" in told or "cached_tokens" in told):
        read = _count(told, "prompt_cache_hit_tokens", "cached_tokens")  # DeepSeek, Kimi
    beside = reasoned and _count(told, "total_tokens") == prompt + completion + reasoned  # xAI counts it beside
    return Usage(
        input=max(0, prompt - read - written - heard),
        cache_read=read,
        cache_write=written,
        output=max(0, completion - spoken - (0 if beside else reasoned)),
        reasoning=reasoned,
        audio=heard + spoken,
    )


def finish_of(reason: Any) -> str:
    return FINISHES.get(reason, reason) if isinstance(reason, str) else ""


def _object(error: HeadraceError, status: int) -> dict[str, Any]:
    return {"message": error.sentence(), "type": _type(status), "param": error.field, "code": _CODES.get(status)}


def _type(status: int) -> str:
    return _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def _count(told: dict[str, Any], *names: str) -> int:
    for name in names:
        if isinstance(found := told.get(name), int):
            return found
    return 0
