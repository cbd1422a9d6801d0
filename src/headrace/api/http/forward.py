"""Passes what belongs to the control plane on to it: /models, stage moves, /export. Streams both ways of an answer.

Called by edge.py. Decides which headers may cross: an allow-list towards the control plane (no cookies; `authorization`
only as the caller sent it), no hop-by-hop header back. After a stage move the caller's next request must see it, so the
answer waits until this plane and its siblings run the revision that the control plane names.
Runs the standard library's client in a thread: these calls are few, and an HTTP client library costs memory here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import quote, urlsplit

from headrace.api.http.edge import Parameters
from headrace.api.http.exchange import Exchange, Reply
from headrace.api.siblings import Siblings
from headrace.serving.fleet import Fleet
from headrace.traffic.route import Header
from headrace.types.errors import Unavailable

PASSED_ON = ("accept", "authorization", "content-type", "traceparent", "user-agent", "x-headrace-actor")
KEPT_BACK = {
    "connection",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "server",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
REVISION_HEADER = "x-headrace-revision"
REVISION_SECONDS = 20.0
CONNECT_SECONDS = 2.0
READ_SECONDS = 300.0  # a stage move may convert a model first
BODY_LIMIT = 1 << 20
CHUNK = 64 * 1024


class Forwarder:
    def __init__(
        self, control: str, fleet: Fleet, *, admit: Callable[[Exchange], None], siblings: Siblings | None = None
    ) -> None:
        """`control` is the control plane's URL, such as http://127.0.0.1:8001."""
        parts = urlsplit(control)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._fleet = fleet
        self._admit = admit
        self._siblings = siblings or Siblings()

    async def __call__(self, exchange: Exchange, _: Parameters) -> Reply | None:
        self._admit(exchange)
        body = await exchange.body(BODY_LIMIT)
        connection = HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        try:
            answer = await asyncio.to_thread(self._ask, connection, exchange, body)
            await self._catch_up(answer)
            await self._stream(exchange, answer)
        finally:
            connection.close()
        return None

    def _ask(self, connection: HTTPConnection, exchange: Exchange, body: bytes) -> HTTPResponse:
        target = quote(exchange.path, safe="/:@") + (f"?{exchange.query}" if exchange.query else "")
        return _send(connection, exchange.method, target, _passed(exchange.header), body)

    async def post(self, target: str, body: bytes, header: Header) -> tuple[int, bytes]:
        """JSON of our own, in the caller's name. Returns when what it changed is in force."""
        connection = HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        headers = _passed(header) | {"content-type": "application/json", "accept": "application/json"}
        try:
            answer = await asyncio.to_thread(_send, connection, "POST", target, headers, body)
            await self._catch_up(answer)
            return answer.status, await asyncio.to_thread(answer.read, BODY_LIMIT)
        except (OSError, HTTPException) as error:
            raise _away(error) from error
        finally:
            connection.close()

    async def _catch_up(self, answer: HTTPResponse) -> None:
        """So that a change is in force for the caller's next request."""
        named = answer.getheader(REVISION_HEADER, "")
        if answer.status >= 300 or not named.isdigit():
            return
        revision = int(named)
        began = time.monotonic()
        if not await self._fleet.until(revision, REVISION_SECONDS):
            raise _not_in_force(self._refused(revision), "this data plane")
        left = REVISION_SECONDS - (time.monotonic() - began)
        if why := await self._siblings.until(revision, left):
            raise _not_in_force(why, "every worker of the data plane")

    def _refused(self, revision: int) -> str:
        refusal = self._fleet.refusal
        return refusal.sentence() if refusal and refusal.revision >= revision else f"plan {revision} is not there yet"

    async def _stream(self, exchange: Exchange, answer: HTTPResponse) -> None:
        """Piece by piece, in the caller's pace. When the control plane breaks off, so does the answer: it is not
        completed, so the client sees that it is cut."""
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in answer.getheaders()
            if name.lower() not in KEPT_BACK
        ]
        exchange.begin(answer.status, headers)
        try:
            while chunk := await asyncio.to_thread(answer.read1, CHUNK):
                await exchange.write(chunk)
            exchange.end()
        except (OSError, HTTPException):
            return


def _not_in_force(why: str, where: str) -> Unavailable:
    return Unavailable(
        f"the change was made, but is not in force on {where}: {why}",
        hint="GET /health",
        retry_after=REVISION_SECONDS,
    )


def _passed(header: Header) -> dict[str, str]:
    return {name: value for name in PASSED_ON if (value := header(name)) is not None}


def _send(connection: HTTPConnection, method: str, target: str, headers: dict[str, str], body: bytes) -> HTTPResponse:
    try:
        connection.connect()
        connection.sock.settimeout(READ_SECONDS)
        connection.request(method, target, body=body or None, headers=headers)
        return connection.getresponse()
    except (OSError, HTTPException) as error:
        raise _away(error) from error


def _away(error: Exception) -> Unavailable:
    return Unavailable(
        f"the control plane does not answer ({type(error).__name__}); predictions go on without it",
        hint="headrace status",
        retry_after=2.0,
    )
