"""What status code an error is in gRPC, as api/errors.py says it for HTTP.

Called by service.py. A subclass without a row takes its parent's.
"""

from __future__ import annotations

from typing import Any

from grpc import StatusCode

from headrace.traffic.colour import HEADER
from headrace.types.errors import (
    ApprovalNeeded,
    BadInput,
    CallerError,
    Conflict,
    Forbidden,
    HeadraceError,
    ModelError,
    ModelFailed,
    ModelRefused,
    NotFound,
    OverLimit,
    Overloaded,
    PlatformError,
    TimedOut,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UpstreamError,
)

CODES: dict[type[HeadraceError], StatusCode] = {
    BadInput: StatusCode.INVALID_ARGUMENT,
    TooLarge: StatusCode.INVALID_ARGUMENT,
    Unauthenticated: StatusCode.UNAUTHENTICATED,
    ApprovalNeeded: StatusCode.PERMISSION_DENIED,
    Forbidden: StatusCode.PERMISSION_DENIED,
    OverLimit: StatusCode.RESOURCE_EXHAUSTED,
    NotFound: StatusCode.NOT_FOUND,
    Conflict: StatusCode.FAILED_PRECONDITION,
    CallerError: StatusCode.INVALID_ARGUMENT,
    ModelRefused: StatusCode.FAILED_PRECONDITION,
    ModelFailed: StatusCode.INTERNAL,
    TimedOut: StatusCode.DEADLINE_EXCEEDED,
    ModelError: StatusCode.INTERNAL,
    UpstreamError: StatusCode.UNAVAILABLE,
    Overloaded: StatusCode.UNAVAILABLE,
    Unavailable: StatusCode.UNAVAILABLE,
    PlatformError: StatusCode.INTERNAL,
    HeadraceError: StatusCode.INTERNAL,
}


def code_of(error: HeadraceError) -> StatusCode:
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def told(error: HeadraceError) -> str:
    return f"{error.field}: {error.sentence()}" if error.field else error.sentence()


def trailing(error: HeadraceError) -> tuple[tuple[str, Any], ...]:
    """The trace of a call that is in the journal, and when to try again."""
    found = traced(error.trace_id, error.variant) if error.trace_id else ()
    if error.retry_after is not None or error.retryable:
        return (*found, ("grpc-retry-pushback-ms", f"{max(1, error.retry_after or 1) * 1000:.0f}"))
    return found


def traced(trace_id: str, variant: str, colour: str = "") -> tuple[tuple[str, str], ...]:
    name = variant.encode("ascii", "replace").decode()
    found = (("x-headrace-trace", trace_id), ("x-headrace-variant", name))
    return (*found, (HEADER, colour)) if colour else found
