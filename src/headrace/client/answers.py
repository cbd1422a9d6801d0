"""From an error answer back to the error class that made it.

Called by admin.py and predict.py for every answer that is not 2xx, and for error lines inside a stream.
Knows the three forms that Headrace speaks: RFC 9457 (`type`, `detail`), `{"error": {"type", "message"}}`, and the Open
Inference Protocol's `{"error": "…"}`. What it does not know it names by its status.
"""

from __future__ import annotations

import re
from typing import Any

import httpx

from headrace.types.errors import (
    BadInput,
    Conflict,
    Forbidden,
    HeadraceError,
    NotFound,
    Overloaded,
    PlatformError,
    TimedOut,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UpstreamError,
)

_BY_STATUS: dict[int, type[HeadraceError]] = {
    400: BadInput,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: BadInput,
    409: Conflict,
    413: TooLarge,
    415: BadInput,
    422: BadInput,
    429: Overloaded,
    500: PlatformError,
    502: UpstreamError,
    503: Unavailable,
    504: TimedOut,
}


def read_json(response: httpx.Response) -> Any:
    """The body of a good answer; raises what a bad one stands for. The body must have been read."""
    if not response.is_success:
        raise error_of(response)
    try:
        return response.json()
    except ValueError as error:
        raise UpstreamError(
            f"{response.request.url} answered {response.headers.get('content-type', 'something')!r}, not JSON",
            hint="is it a Headrace that listens there?",
        ) from error


def error_of(response: httpx.Response) -> HeadraceError:
    try:
        content: Any = response.json()
    except ValueError:
        content = None
    retry_after = _seconds(response.headers.get("retry-after"))
    error = error_from(content, status=response.status_code, retry_after=retry_after, url=str(response.request.url))
    error.trace_id = error.trace_id or response.headers.get("x-headrace-trace", "")
    return error


def error_from(content: Any, *, status: int = 0, retry_after: float | None = None, url: str = "") -> HeadraceError:
    """`content` is the decoded body, or the value of `error` in a line of a stream."""
    story = content.get("error", content) if isinstance(content, dict) else content
    if isinstance(story, str):
        story = {"message": story}
    if not isinstance(story, dict):
        story = {}
    status = status or int(story.get("status") or 0)
    kind = _class_of(str(story.get("type") or "")) or _BY_STATUS.get(status) or _by_range(status)
    message = story.get("message") or story.get("detail") or story.get("title") or f"{url} answered {status}"
    error = kind(str(message), field=story.get("field"), hint=story.get("hint"), retry_after=retry_after)
    error.trace_id = story.get("trace_id") or ""
    return error


def unreachable(url: str, error: httpx.TransportError) -> Unavailable:
    if isinstance(error, httpx.TimeoutException):
        return Unavailable(f"{url} did not answer in time", hint="headrace status; headrace logs")
    return Unavailable(f"no Headrace answers at {url}", hint="start it with `headrace up`, or name another with --url")


def _class_of(name: str) -> type[HeadraceError] | None:
    """`not_found`, `not-found` and `https://…/errors/not-found` are NotFound."""
    return _BY_NAME.get(re.split(r"[/#:]", name)[-1].replace("-", "_").lower())


def _by_range(status: int) -> type[HeadraceError]:
    return BadInput if 400 <= status < 500 else PlatformError


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:  # an HTTP date
        return None


def _tree(root: type[HeadraceError]) -> list[type[HeadraceError]]:
    return [root, *(found for child in root.__subclasses__() for found in _tree(child))]


_BY_NAME = {re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in _tree(HeadraceError)}
