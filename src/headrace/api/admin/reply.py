"""How the admin API answers: nouns as JSON, errors as problem details (RFC 9457), long work as lines of progress.

Called by the routes and the guard. Decides the form of an answer; what an error means in HTTP is api/errors.py's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import msgspec
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse

from headrace.api.errors import kind_of, status_of
from headrace.types.errors import HeadraceError, PlatformError

NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"

Tell = Callable[[str], None]
Work = Callable[[Tell], Any]  # takes what tells progress; its result is the answer

log = logging.getLogger("headrace.api")


def answer(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status_code=status, headers=headers, media_type="application/json")


def problem(error: HeadraceError) -> Response:
    headers = {"retry-after": f"{max(1, round(error.retry_after))}"} if error.retry_after else None
    body = problem_body(error)
    return Response(msgspec.json.encode(body), status_code=body["status"], headers=headers, media_type=PROBLEM)


def problem_body(error: HeadraceError) -> dict[str, Any]:
    """RFC 9457, and `error` beside it in the data plane's form: it passes some of these paths on to us as they are."""
    kind = kind_of(error)
    more = {name: value for name in ("field", "hint", "trace_id") if (value := getattr(error, name))}
    return {
        "type": f"urn:headrace:error:{kind}",
        "title": kind.replace("_", " "),
        "status": status_of(error),
        "detail": error.message,
        **more,
        "error": {"type": kind, "message": error.message, **more},
    }


def unexpected(error: Exception) -> PlatformError:
    """A bug of ours: the log knows more than the caller may."""
    log.error("a request failed", exc_info=error)
    return PlatformError(f"the control plane failed: {type(error).__name__}", hint="headrace logs control")


async def long_work(request: Request, work: Work) -> Response:
    """In a thread. A caller that accepts NDJSON sees progress as it happens and the result as the last line. Work that
    fails before it had anything to tell is answered like any other error."""
    if NDJSON not in request.headers.get("accept", ""):
        return answer(await run_in_threadpool(work, _silent))
    lines = _lines(work)
    first = await anext(lines)
    if isinstance(first.get("error"), HeadraceError):
        await lines.aclose()
        return problem(first["error"])
    return StreamingResponse(_written(first, lines), media_type=NDJSON)


def _silent(_: str) -> None:
    pass


async def _written(first: dict[str, Any], rest: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    yield _line(first)
    async for content in rest:
        yield _line(content)


def _line(content: dict[str, Any]) -> bytes:
    error = content.get("error")
    return msgspec.json.encode({"error": problem_body(error)} if error else content) + b"\n"


async def _lines(work: Work) -> AsyncGenerator[dict[str, Any], None]:
    """Progress, then result or error. The work goes on when the caller leaves: it is not undone half-way."""
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def put(content: dict[str, Any]) -> None:
        loop.call_soon_threadsafe(told.put_nowait, content)

    def run() -> None:
        try:
            put({"result": work(lambda text: put({"progress": text}))})
        except HeadraceError as error:
            put({"error": error})
        except Exception as error:  # noqa: BLE001 - the stream has begun: the last line is the only place to say it
            put({"error": unexpected(error)})

    task = asyncio.create_task(run_in_threadpool(run))
    while True:
        content = await told.get()
        yield content
        if "progress" not in content:
            break
    await task
