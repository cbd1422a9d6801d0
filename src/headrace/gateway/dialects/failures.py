"""What an error of an upstream means for what is done next, from its status, its code and its words.

Called by the dialects, for answers with an error status and for errors inside a stream. Decides one Failure. Codes come
first, since they are made to be read; words only tell what servers say without a code (vLLM, llama.cpp, SGLang, Ollama
and Anthropic tell a prompt that is too long by its message alone).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from headrace.types.gateway import Failure

_CODES = {
    "context_length_exceeded": Failure.CONTEXT,
    "exceed_context_size_error": Failure.CONTEXT,  # llama.cpp
    "model_context_window_exceeded": Failure.CONTEXT,
    "content_filter": Failure.CONTENT,
    "content_policy_violation": Failure.CONTENT,
    "responsibleaipolicyviolation": Failure.CONTENT,  # Azure, as the inner code
    "moderation_blocked": Failure.CONTENT,
    "insufficient_quota": Failure.AUTH,  # a 429 that waiting does not heal
    "billing_error": Failure.AUTH,
    "invalid_api_key": Failure.AUTH,
    "authentication_error": Failure.AUTH,
    "permission_error": Failure.AUTH,
    "model_not_found": Failure.AUTH,
    "rate_limit_error": Failure.RATE_LIMIT,
    "rate_limit_exceeded": Failure.RATE_LIMIT,
    "resource_exhausted": Failure.RATE_LIMIT,  # Gemini
    "overloaded_error": Failure.OVERLOADED,
    "unavailable": Failure.OVERLOADED,
    "timeout_error": Failure.TIMEOUT,
    "deadline_exceeded": Failure.TIMEOUT,
    "api_error": Failure.SERVER,
    "server_error": Failure.SERVER,
    "internal_server_error": Failure.SERVER,
}
_STATUS = {
    401: Failure.AUTH,
    402: Failure.AUTH,
    403: Failure.AUTH,
    404: Failure.AUTH,  # of a model or a path: our configuration, and other ways have theirs
    408: Failure.TIMEOUT,
    429: Failure.RATE_LIMIT,
    503: Failure.OVERLOADED,
    504: Failure.TIMEOUT,
    529: Failure.OVERLOADED,
}
_LONG = re.compile(
    r"context (length|window|size|limit)|prompt is too long|input is too long|too many (input )?tokens"
    r"|exceeds? the (maximum|available|model's).{0,40}(tokens|context)|input token count.{0,40}exceeds"
    r"|reduce the length of the (messages|prompt|input)|longer than the model's context",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content (management |filtering )?policy|content filter|safety system|usage policies|prohibited_content",
    re.IGNORECASE,
)
_UNPAID = re.compile(r"credit balance is too low|exceeded your current quota|billing", re.IGNORECASE)
_FAULTY = frozenset({400, 413, 422, 500})  # llama.cpp answered 500 to a long prompt before it had a code
_SAID = 2_000  # characters of a body that is no JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    message: str
    codes: tuple[str, ...] = ()


def complaint(body: bytes) -> Complaint:
    """Out of any form in which servers say it."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Complaint(message=body[:_SAID].decode("utf-8", "replace").strip())
    return found_in(document)


def found_in(document: Any) -> Complaint:
    if isinstance(document, list) and document:  # Gemini, of a stream
        document = document[0]
    if not isinstance(document, dict):
        return Complaint(message=str(document)[:_SAID])
    error = document.get("error", document)
    if not isinstance(error, dict):
        return Complaint(message=str(error)[:_SAID])
    inner = error.get("innererror")
    said = (
        error.get("code"),
        error.get("type"),
        error.get("status"),
        inner.get("code") if isinstance(inner, dict) else 0,
    )
    message = error.get("message") or error.get("detail") or error.get("msg") or ""
    return Complaint(
        message=message if isinstance(message, str) else msgspec.json.encode(message).decode()[:_SAID],
        codes=tuple(code.lower() for code in said if isinstance(code, str) and code),
    )


def failure_of(status: int, told: Complaint) -> Failure:
    """`status` 200: an error inside an answer that had begun well, which is broken unless it says what it is."""
    coded = next((_CODES[code] for code in told.codes if code in _CODES), None)
    if coded in (Failure.CONTEXT, Failure.CONTENT, Failure.AUTH):
        return coded
    if status in _FAULTY or status == 200:
        if _LONG.search(told.message):
            return Failure.CONTEXT
        if _FILTERED.search(told.message):
            return Failure.CONTENT
        if _UNPAID.search(told.message):
            return Failure.AUTH
    if status == 200:
        return coded or Failure.BROKEN
    if status in _STATUS:
        return _STATUS[status]
    return Failure.SERVER if status >= 500 else Failure.CALLER
