"""The way into MLflow: everything below /mlflow goes to the MLflow server, streamed both ways.

Called by stock MLflow clients and browsers. Decides what is not let through (its LLM gateway, its assistant, its jobs:
they run code or spend money behind our back), and when the registry is read again: after a call that changed it, before
that call is answered, so that a stage moved with a stock client is in force for the next request.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from posixpath import normpath
from urllib.parse import unquote

import aiohttp
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from starlette.background import BackgroundTask
from yarl import URL

from headrace.base.log import fields
from headrace.control.services import Services
from headrace.types.errors import Forbidden, HeadraceError, UpstreamError

log = logging.getLogger("headrace.api")

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
CLOSED = re.compile(r"/(gateway|(ajax-)?api/[\d.]+/mlflow/(assistant|gateway)|(ajax-)?api/[\d.]+/(mlflow/)?jobs)(/|$)")
REGISTRY = re.compile(r"/(ajax-)?api/[\d.]+/mlflow/(model-versions|registered-models)/(?!search|get|list)")
HOP = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"),
    *("upgrade", "host", "origin", "referer", "authorization", "cookie"),  # these were for us
}
SYNC_SECONDS = 10.0


class Passage:
    """One pool of connections, opened by the first request."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def __call__(self, request: Request, path: str) -> Response:
        rest = "/" + path
        if CLOSED.match(normpath(unquote(rest))):
            raise Forbidden(f"{rest} of MLflow is closed here", field="path")
        answer = await self._ask(request, rest)
        if request.method not in ("GET", "HEAD", "OPTIONS") and answer.status < 300 and REGISTRY.match(rest):
            await self._follow()
        headers = [(n.lower(), v) for n, v in answer.headers.items() if n.lower() not in HOP]
        response = StreamingResponse(
            answer.content.iter_any(), status_code=answer.status, background=BackgroundTask(answer.release)
        )
        response.raw_headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers]
        return response

    async def _ask(self, request: Request, rest: str) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=300),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        query = request.scope["query_string"].decode("latin-1")
        raw = request.scope.get("raw_path", b"").decode("latin-1").partition("/mlflow")[2] or rest
        url = URL(self._services.settings.mlflow_uri.rstrip("/") + raw + (f"?{query}" if query else ""), encoded=True)
        try:
            return await self._session.request(
                request.method,
                url,
                headers={n: v for n, v in request.headers.items() if n not in HOP},
                data=_body(request),
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UpstreamError(
                f"MLflow does not answer ({type(error).__name__}); predictions go on without it",
                hint="headrace status; headrace logs mlflow",
                retry_after=2.0,
            ) from error

    async def _follow(self) -> None:
        """The change is made whatever happens here; the clock tries again."""
        syncing = asyncio.create_task(asyncio.to_thread(self._services.releases.sync))
        done, _ = await asyncio.wait({syncing}, timeout=SYNC_SECONDS)
        error = syncing.exception() if done else None
        if isinstance(error, HeadraceError):
            log.warning("the registry could not be followed at once", extra=fields(reason=error.sentence()))
        elif error is not None:
            raise error


def _body(request: Request) -> AsyncIterator[bytes] | None:
    """None for a request without one, so that no empty chunked body is sent."""
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    return request.stream() if has_body else None


def router(passage: Passage) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/mlflow", methods=["GET"])
    async def root() -> Response:
        return RedirectResponse("/mlflow/")

    @routes.api_route("/mlflow/{path:path}", methods=METHODS)
    async def anything(request: Request, path: str) -> Response:
        return await passage(request, path)

    return routes
