"""The way into MLflow: everything below /mlflow goes to the MLflow server, streamed both ways.

Called by stock MLflow clients and browsers. Decides what is not let through (its LLM gateway, its assistant, its jobs:
they run code or spend money behind our back), and when the registry is read again: after a call that changed it, before
that call is answered, so that a stage moved with a stock client is in force for the next request.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from posixpath import normpath
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiohttp
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from yarl import URL

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.registry_call import read_call
from headrace.api.admin.reply import answer as reply
from headrace.api.admin.reply import problem_body
from headrace.base.log import fields
from headrace.release.parts import Cause
from headrace.release.record import RegistryCall
from headrace.types.errors import BadInput, Forbidden, HeadraceError, TooLarge, Unavailable

log = logging.getLogger("headrace.api")

PREFIX = "/mlflow"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
CLOSED = re.compile(
    r"/(gateway|(ajax-)?api/[^/]+/mlflow/(assistant|gateway|gateway-proxy)|(ajax-)?api/[^/]+/(mlflow/)?jobs)(/|$)"
)
REGISTRY = re.compile(
    r"/(ajax-)?api/[^/]+/mlflow/"
    r"(model-versions/(create|delete|update|transition-stage)|registered-models/(alias|delete|rename|update))$"
)
SAFE = ("GET", "HEAD", "OPTIONS")
# Between two neighbours only (RFC 9110 §7.6.1), and what was meant for us.
HOP = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
    *("transfer-encoding", "upgrade", "expect", "host", "origin", "referer", "authorization", "cookie"),
}
OWN = {"date", "server", "set-cookie"}  # of an answer
AUTOMATIC = ("accept", "accept-encoding", "content-type", "user-agent")  # that aiohttp would add
SYNC_SECONDS = 10.0
CHUNK = 256 * 1024
SMALL = 1 << 20


class Door(Protocol):
    """What is asked before a stage or an alias moves, and told after it has: release.service."""

    def admit(self, call: RegistryCall, *, actor: str) -> Cause: ...
    def claim(self, call: RegistryCall, cause: Cause) -> None: ...


class Passage:
    """`sync` follows the registry. One pool of connections, opened by the first request."""

    def __init__(self, uri: str, sync: Callable[[], None], door: Door) -> None:
        self._uri = uri.rstrip("/")
        self._door = door
        self._follower = _Follower(sync)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def __call__(self, request: Request) -> Response:
        rest = _rest(request)
        if request.method in SAFE or not REGISTRY.match(unquote(rest)):
            answer = await self._ask(request, rest, _body(request))
        else:
            try:
                answer = await self._ask_registry(request, rest)
            except Forbidden as error:
                return _refused(error)
        response = StreamingResponse(_content(answer), status_code=answer.status)
        response.raw_headers = self._headers(answer)
        return response

    async def _ask_registry(self, request: Request, rest: str) -> aiohttp.ClientResponse:
        body, actor = await _small_body(request), actor_of(request)
        call = read_call(request.method, unquote(rest), body)
        cause = None if call is None else await run_in_threadpool(self._door.admit, call, actor=actor)
        answer = await self._ask(request, rest, body)
        if answer.status < 300:
            if call is not None and cause is not None:
                self._door.claim(call, cause)
            await self._follower.follow()
        return answer

    async def _ask(
        self, request: Request, rest: str, body: bytes | AsyncIterator[bytes] | None
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                # Shorter than MLflow's own 5 s: a POST on a connection that it has just closed is not repeated.
                connector=aiohttp.TCPConnector(limit=200, keepalive_timeout=3.0),
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=CHUNK,
                skip_auto_headers=AUTOMATIC,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=300),
            )
        query = request.scope["query_string"].decode("latin-1")
        try:
            return await self._session.request(
                request.method,
                URL(self._uri + rest + (f"?{query}" if query else ""), encoded=True),
                headers=[(name, value) for name, value in request.headers.items() if name not in _dropped(request)],
                data=body,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(
                f"MLflow does not answer ({type(error).__name__}); predictions go on without it",
                hint="headrace status; headrace logs mlflow",
                retry_after=2.0,
            ) from error

    def _headers(self, answer: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
        named = {name.strip().lower() for name in answer.headers.get("connection", "").split(",")}
        return [
            (name.lower().encode("latin-1"), (self._ours(value) if name.lower() == "location" else value).encode())
            for name, value in answer.headers.items()
            if name.lower() not in HOP | OWN | named
        ]

    def _ours(self, location: str) -> str:
        """MLflow knows itself by its own address; a caller reaches it through ours."""
        own = urlsplit(self._uri)
        if urlsplit(location).netloc not in ("", own.netloc):
            return location
        where: str = location.removeprefix(f"{own.scheme}://{own.netloc}")
        return PREFIX + where.removeprefix(own.path) if where.startswith("/") else where


class _Follower:
    """At most one sync runs and one waits; a caller whose change came before that one began may share it."""

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        """Returns when the change is followed, or after SYNC_SECONDS: it is made in any case, the clock tries again."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        await asyncio.wait({self._next}, timeout=SYNC_SECONDS)

    async def _run(self) -> None:
        async with self._turn:
            self._next = None
            try:
                await run_in_threadpool(self._sync)
            except HeadraceError as error:
                log.warning("the registry could not be followed at once", extra=fields(reason=error.sentence()))
            except Exception as error:
                log.error("the registry could not be followed at once", exc_info=error)


def _rest(request: Request) -> str:
    """The path below /mlflow, still quoted as it came. Refuses what is closed, however it is written."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.decode("latin-1").partition("?")[0]
    decoded = unquote(path)
    if not path.startswith(f"{PREFIX}/") or ".." in decoded.split("/"):
        raise BadInput(f"the path {path!r} is not one below {PREFIX}/", field="path")
    if CLOSED.match(normpath("/" + decoded.removeprefix(PREFIX).lstrip("/"))):
        raise Forbidden(f"{decoded} is closed here", field="path", hint="it would run code or spend money unseen")
    return path.removeprefix(PREFIX)


def _dropped(request: Request) -> set[str]:
    return HOP | {name.strip().lower() for name in request.headers.get("connection", "").split(",")}


def _body(request: Request) -> AsyncIterator[bytes] | None:
    """None for a request without one, so that no empty chunked body is sent."""
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    return request.stream() if has_body else None


def _refused(error: Forbidden) -> Response:
    """In the words of MLflow's own errors too, so that its client tells a person the reason."""
    words = {"error_code": "PERMISSION_DENIED", "message": error.sentence()}
    return reply(problem_body(error) | words, status=403)


async def _small_body(request: Request) -> bytes:
    """Of a call that changes the registry, which says a few words."""
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > SMALL:
            raise TooLarge(f"the body is larger than {SMALL} bytes", field="body")
        pieces.append(piece)
    return b"".join(pieces)


async def _content(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Closed, not returned to the pool, when the caller leaves before the end."""
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
            # A cancellation reaches a task that waits for nothing, or for something that has not come. While MLflow is
            # faster than this loop that is never so, and a caller who left would be downloaded for to the end.
            await asyncio.sleep(0)
    finally:
        answer.close()


def router(passage: Passage) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.api_route(PREFIX, methods=["GET", "HEAD"])
    async def root() -> Response:
        return RedirectResponse(f"{PREFIX}/")

    @routes.api_route(PREFIX + "/{path:path}", methods=METHODS)
    async def anything(request: Request) -> Response:
        return await passage(request)

    return routes
