"""The data plane's front door: a path and a method to a handler, an error to its form. No framework.

Called by connection.py for each request. Decides nothing else: handlers translate, rooms below decide. An error is
written in the form of the protocol it happened in: V2 has `{"error": "…"}`, everything else an object with type, field
and hint.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import msgspec

from headrace.api.errors import WrongMethod, kind_of, status_of
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.traffic.meter import Meter
from headrace.types.errors import HeadraceError, KeyRefused, NotFound, OverLimit

Parameters = dict[str, str]
Handler = Callable[[Exchange, Parameters], Awaitable[Reply | None]]  # None: it has answered itself, in a stream
_NO_PARAMETERS: Parameters = {}
REST = "{rest}"  # as the last segment of a path: everything below
_SEEN = 1024  # paths that are kept: callers choose them, so there is a bound

log = logging.getLogger("headrace.http")


@dataclass(frozen=True, slots=True)
class Route:
    """`path` may have segments such as {model}, and end with {rest}. `eager`: mostly answered without waiting for
    anything, so that it is begun where it arrives, outside of any task: until its first wait it must not ask for one
    (asyncio.timeout)."""

    method: str
    path: str
    handler: Handler
    documented: bool = True
    eager: bool = False


class Edge:
    def __init__(self, routes: Iterable[Route], meter: Meter) -> None:
        self.routes = tuple(routes)
        self._meter = meter
        self._exact: dict[str, dict[str, Handler]] = {}
        self._seen: dict[str, tuple[dict[str, Handler], Parameters]] = {}
        self._patterns: dict[int, list[tuple[list[str], dict[str, Handler]]]] = {}
        self._below: list[tuple[list[str], dict[str, Handler]]] = []
        self._eager = {route.path.rpartition("/")[2] for route in self.routes if route.eager}
        for route in self.routes:
            self._add(route)

    async def __call__(self, exchange: Exchange) -> None:
        try:
            handler, parameters = self._find(exchange)
            reply = await handler(exchange, parameters)
            if reply is not None:
                exchange.reply(reply)
        except HeadraceError as error:
            self._refuse(exchange, error)
        except asyncio.CancelledError:
            self._meter.count("headrace_refused_total", "gone")
            raise
        except Exception:
            # The last resort: a bug is told to the log in full and to the caller without a stack.
            log.exception("request failed")
            self._refuse(exchange, HeadraceError("something went wrong inside Headrace", hint="see its log"))

    def eager(self, exchange: Exchange) -> bool:
        return exchange.path.rpartition("/")[2] in self._eager

    def malformed(self, reason: str) -> None:
        self._meter.count("headrace_refused_total", "malformed")
        log.debug("refused: %s", reason)

    def _add(self, route: Route) -> None:
        if "{" not in route.path:
            self._exact.setdefault(route.path, {})[route.method] = route.handler
            return
        parts = route.path.split("/")
        same = self._below if parts[-1] == REST else self._patterns.setdefault(len(parts), [])
        methods = next((methods for known, methods in same if known == parts), None)
        if methods is None:
            methods = {}
            same.append((parts, methods))
        methods[route.method] = route.handler

    def _find(self, exchange: Exchange) -> tuple[Handler, Parameters]:
        methods, parameters = self._exact.get(exchange.path), _NO_PARAMETERS
        if methods is None:
            methods, parameters = self._seen.get(exchange.path) or self._look(exchange.path)
        handler = methods.get(exchange.method)
        if handler is None:
            allowed = ", ".join(sorted(methods))
            raise WrongMethod(f"{exchange.path} takes {allowed}, not {exchange.method}", hint=allowed)
        return handler, parameters

    def _look(self, path: str) -> tuple[dict[str, Handler], Parameters]:
        """By comparing; the next one of the same path is found at once."""
        found = self._match(path)
        if len(self._seen) >= _SEEN:
            self._seen.clear()
        self._seen[path] = found
        return found

    def _match(self, path: str) -> tuple[dict[str, Handler], Parameters]:
        bare = path.rstrip("/")
        if bare in self._exact:
            return self._exact[bare], _NO_PARAMETERS
        given = bare.split("/")
        for parts, methods in self._patterns.get(len(given), ()):
            if all(p == g or (p[:1] == "{" and g) for p, g in zip(parts, given, strict=True)):
                return methods, {p[1:-1]: g for p, g in zip(parts, given, strict=True) if p[:1] == "{"}
        for parts, methods in self._below:
            head = given[: len(parts) - 1]
            if len(head) < len(given) and all(
                p == g or (p[:1] == "{" and g) for p, g in zip(parts, head, strict=False)
            ):
                named = {p[1:-1]: g for p, g in zip(parts, head, strict=False) if p[:1] == "{"}
                return methods, named | {REST[1:-1]: "/".join(given[len(head) :])}
        raise NotFound(f"there is no {path!r} here", hint="GET /docs lists what there is")

    def _refuse(self, exchange: Exchange, error: HeadraceError) -> None:
        if not error.trace_id:
            self._meter.count("headrace_refused_total", kind_of(error))
        if not exchange.begun:  # an answer that has begun can only be cut
            exchange.reply(error_reply(error, v2=exchange.path.startswith("/v2")))


def error_headers(error: HeadraceError) -> list[tuple[bytes, bytes]]:
    """What goes with an error in every form: how the call is found again, and when to come back."""
    headers: list[tuple[bytes, bytes]] = []
    if error.trace_id:
        headers.append((b"x-headrace-trace", error.trace_id.encode()))
    if error.variant:
        headers.append((b"x-headrace-variant", error.variant.encode("latin-1", "replace")))
    if error.retry_after is not None or error.retryable:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after or 1))))
    if isinstance(error, OverLimit):
        headers.extend(error.headers)
    if isinstance(error, KeyRefused):
        headers.append((b"x-should-retry", b"false"))  # OpenAI's and Anthropic's clients would, after a 502
    if status_of(error) == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, WrongMethod):
        headers.append((b"allow", (error.hint or "").encode()))
    return headers


def error_reply(error: HeadraceError, *, v2: bool) -> Reply:
    headers, status = error_headers(error), status_of(error)
    if v2:
        told = f"{error.field}: {error.sentence()}" if error.field else error.sentence()
        return json_reply(msgspec.json.encode({"error": told}), status, tuple(headers))
    body = {
        "type": kind_of(error),
        "message": error.message,
        "field": error.field,
        "hint": error.hint,
        "trace_id": error.trace_id or None,
    }
    return json_reply(msgspec.json.encode({"error": body}), status, tuple(headers))
