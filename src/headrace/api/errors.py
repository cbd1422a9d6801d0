"""What status an error is in HTTP. Both edges use it; how it is written differs by protocol, what it means does not.

Decides one status per class of types/errors.py; a subclass without a row takes its parent's. WrongMedia and WrongMethod
are errors of HTTP itself, so they live here.
"""

from __future__ import annotations

import re

from headrace.types.errors import (
    ApprovalNeeded,
    BadInput,
    Blocked,
    CallerError,
    Conflict,
    Forbidden,
    HeadraceError,
    KeyRefused,
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


class WrongMedia(CallerError):
    """A content type that is not spoken here."""


class WrongMethod(CallerError):
    """The path exists, the method does not."""


STATUS: dict[type[HeadraceError], int] = {
    BadInput: 400,
    Blocked: 400,
    Unauthenticated: 401,
    ApprovalNeeded: 403,
    Forbidden: 403,
    NotFound: 404,
    WrongMethod: 405,
    Conflict: 409,
    TooLarge: 413,
    WrongMedia: 415,
    OverLimit: 429,
    CallerError: 400,
    ModelRefused: 422,
    ModelFailed: 500,
    TimedOut: 504,
    ModelError: 500,
    KeyRefused: 502,
    UpstreamError: 502,
    Overloaded: 503,
    Unavailable: 503,
    PlatformError: 500,
    HeadraceError: 500,
}

_WORDS = re.compile(r"(?<!^)(?=[A-Z])")


def status_of(error: HeadraceError) -> int:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def kind_of(error: HeadraceError) -> str:
    """The class in snake case: `bad_input`, `not_found`."""
    return _WORDS.sub("_", type(error).__name__).lower()
