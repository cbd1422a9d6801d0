"""Chat models over HTTP: OpenAI's, Anthropic's and Gemini's paths to gateway/complete.py and back.

Called by edge.py. Decides which form of call a path is, what of a request's headers is about whom, and how an error is
written: in the words and the form that the clients of that path expect. Ignores bodies.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import msgspec

from headrace.api.errors import kind_of, status_of
from headrace.api.http.edge import Parameters, error_headers
from headrace.api.http.exchange import JSON, Exchange, Reply, json_reply
from headrace.api.http.predict import TIMEOUT_HEADER, timeout_of
from headrace.gateway.complete import Completer
from headrace.gateway.dialects.base import NOWHERE, Address
from headrace.gateway.dialects.registry import DIALECTS
from headrace.gateway.passthrough import Passer, RawRequest
from headrace.gateway.station import passed_on
from headrace.gateway.visit import Request
from headrace.traffic.meter import Meter
from headrace.types.errors import HeadraceError, NotFound
from headrace.types.gateway import Wire

CONVERSATION, MESSAGE, TASK = "x-headrace-chat-id", "x-headrace-message-id", "x-headrace-task"
_ABOUT = frozenset(name.encode() for name in ("traceparent", CONVERSATION, MESSAGE, TASK))  # most calls have none
_KEPT = "/:@!$&'()*+,;=-._~"  # of a path, unescaped
_GEMINI = {"generateContent": False, "streamGenerateContent": True}


class LlmHandler:
    """`tail` of a path: what comes after /v1."""

    def __init__(self, completer: Completer, meter: Meter, *, user_header: str, limit: int) -> None:
        self._completer = completer
        self._passer = Passer(completer.boards, completer.limiter, completer.recorder)
        self._meter = meter
        self._user_header = user_header.lower().encode("latin-1")
        self._limit = limit

    def call(self, wire: Wire, tail: str = "") -> Callable[[Exchange, Parameters], Awaitable[Reply | None]]:
        """The handler of one path."""

        def handler(exchange: Exchange, parameters: Parameters) -> Awaitable[Reply | None]:
            return self._answer(exchange, wire, tail.format(**parameters) if parameters else tail, NOWHERE)

        return handler

    async def gemini(self, exchange: Exchange, parameters: Parameters) -> Reply | None:
        """/v1beta/models/MODEL:generateContent"""
        model, _, verb = parameters["call"].rpartition(":")
        if verb not in _GEMINI:
            raise NotFound(f"there is no {verb!r}; allowed: {', '.join(_GEMINI)}", field="path")
        return await self._answer(exchange, Wire.GEMINI, "", Address(model=model, stream=_GEMINI[verb]))

    async def passthrough(self, exchange: Exchange, parameters: Parameters) -> None:
        """/passthrough/PROVIDER/…, any method."""
        query = f"?{exchange.query}" if exchange.query else ""
        await self._passer.go(
            RawRequest(
                provider=parameters["provider"],
                method=exchange.method,
                path=f"/{quote(parameters['rest'], safe=_KEPT)}{query}",
                body=await exchange.body(self._limit),
                header=exchange.header,
                headers=passed_on(exchange.headers),
                user=exchange.headers.get(self._user_header, b"").decode("utf-8", "replace"),
                parent=exchange.header("traceparent") or "",
            ),
            exchange,
        )

    async def models(self, exchange: Exchange, _: Parameters) -> Reply:
        """Those that the caller may ask for, in OpenAI's form or, for a client that says so, in Anthropic's."""
        try:
            names = self._visible(exchange)
        except HeadraceError as error:
            return _refusal(error, _spoken(exchange))
        return json_reply(msgspec.json.encode(_listed(names, exchange)))

    async def model(self, exchange: Exchange, parameters: Parameters) -> Reply:
        name = parameters["model"]
        try:
            if name not in self._visible(exchange):
                raise NotFound(f"there is no chat model {name!r}", field="model", hint="GET /v1/models lists them")
        except HeadraceError as error:
            return _refusal(error, _spoken(exchange))
        return json_reply(msgspec.json.encode(_described(name, exchange)))

    def _visible(self, exchange: Exchange) -> list[str]:
        board = self._completer.boards.now
        caller = board.callers.of(exchange.header)
        return sorted(name for name in board.lanes if caller.sees(name))

    async def _answer(self, exchange: Exchange, wire: Wire, tail: str, at: Address) -> Reply | None:
        try:
            request = self._request(exchange, wire, tail, at, await exchange.body(self._limit))
            answered = await self._completer.complete(request, exchange)
        except HeadraceError as error:
            if not error.trace_id:
                self._meter.count("headrace_refused_total", kind_of(error))
            return None if exchange.begun else _refusal(error, wire)
        if answered is None:
            return None
        return Reply(answered.status, answered.body, answered.headers, answered.lines)

    def _request(self, exchange: Exchange, wire: Wire, tail: str, at: Address, body: bytes) -> Request:
        headers, header = exchange.headers, exchange.header
        if (media := headers.get(b"content-type", JSON)) != JSON:
            at = at._replace(media=media.decode("utf-8", "replace"))
        request = Request(
            wire=wire,
            tail=tail,
            body=body,
            at=at,
            header=header,
            headers=passed_on(headers),
            user=headers.get(self._user_header, b"").decode("utf-8", "replace"),
            timeout_ms=timeout_of(exchange) if TIMEOUT_HEADER in headers else 0,
        )
        if not _ABOUT.isdisjoint(headers):
            request.parent, request.task = header("traceparent") or "", header(TASK) or ""
            request.conversation, request.message = header(CONVERSATION) or "", header(MESSAGE) or ""
        return request


def _refusal(error: HeadraceError, wire: Wire) -> Reply:
    status = status_of(error)
    return json_reply(DIALECTS[wire].error(error, status), status, tuple(error_headers(error)))


def _spoken(exchange: Exchange) -> Wire:
    """Whose client it is that asks for models."""
    return Wire.MESSAGES if b"anthropic-version" in exchange.headers else Wire.CHAT


def _listed(names: list[str], exchange: Exchange) -> dict[str, Any]:
    data = [_described(name, exchange) for name in names]
    if _spoken(exchange) is Wire.CHAT:
        return {"object": "list", "data": data}
    first, last = (names[0], names[-1]) if names else (None, None)
    return {"data": data, "has_more": False, "first_id": first, "last_id": last}


def _described(name: str, exchange: Exchange) -> dict[str, Any]:
    if _spoken(exchange) is Wire.CHAT:
        return {"id": name, "object": "model", "created": 0, "owned_by": "headrace"}
    known = {"type": "model", "id": name, "display_name": name, "lifecycle": "active"}
    return {**known, "created_at": "1970-01-01T00:00:00Z"}
