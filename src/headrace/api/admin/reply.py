"""How the admin API answers: nouns as JSON, errors as problem details (RFC 9457), long work as lines of progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from headrace.api.errors import kind_of, status_of
from headrace.types.errors import HeadraceError

NDJSON = "application/x-ndjson"

Work = Callable[[Callable[[str], None]], Any]  # takes what tells progress; its result is the answer


def answer(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status_code=status, headers=headers, media_type="application/json")


def problem(error: HeadraceError) -> Response:
    headers = {"retry-after": f"{max(1, round(error.retry_after))}"} if error.retry_after else None
    body = problem_body(error)
    return Response(
        msgspec.json.encode(body), status_code=body["status"], headers=headers, media_type="application/problem+json"
    )


def problem_body(error: HeadraceError) -> dict[str, Any]:
    kind = kind_of(error)
    body = {"type": kind, "title": kind.replace("_", " "), "status": status_of(error), "detail": error.message}
    return body | {name: value for name in ("field", "hint") if (value := getattr(error, name))}


async def long_work(request: Request, work: Work) -> Response:
    """In a thread. A caller that accepts NDJSON sees progress as it happens and the result as the last line."""
    if NDJSON not in request.headers.get("accept", ""):
        return answer(await asyncio.to_thread(work, lambda _: None))
    return StreamingResponse(_lines(work), media_type=NDJSON)


async def _lines(work: Work) -> AsyncIterator[bytes]:
    """The work goes on when the caller leaves: it is not undone half-way."""
    loop, told = asyncio.get_running_loop(), asyncio.Queue[str]()

    def tell(text: str) -> None:
        loop.call_soon_threadsafe(told.put_nowait, text)

    task = asyncio.create_task(asyncio.to_thread(work, tell))
    waiting: asyncio.Task[str] | None = None
    while not task.done() or not told.empty():
        waiting = waiting or asyncio.create_task(told.get())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            yield _line({"progress": waiting.result()})
            waiting = None
    if waiting is not None:
        waiting.cancel()
    try:
        yield _line({"result": task.result()})
    except HeadraceError as error:
        yield _line({"error": problem_body(error)})


def _line(content: Any) -> bytes:
    return msgspec.json.encode(content) + b"\n"
