"""One HTTP request and its answer, over raw ASGI: headers, a bounded body, a reply.

Called by edge.py, which makes one per request, and by the handlers. Decides limits of size and form. Ignores paths.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from headrace.api.errors import WrongMedia
from headrace.types.errors import BadInput, TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_SECONDS = 30.0  # that a client may take to send its body
LINGER_SECONDS = 1.0  # that a refused body is still taken in (and dropped), so that the refusal can be read
JSON = b"application/json"
_JSON_HEADER = (b"content-type", JSON)


class Gone(Exception):
    """The client hung up before its request was complete: there is nobody to answer."""


@dataclass(slots=True)
class Reply:
    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]


def json_reply(body: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    return Reply(status, body, [_JSON_HEADER, *headers])


class Exchange:
    __slots__ = ("_headers", "_receive", "path", "scope", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.path: str = scope["path"]
        self.send = send
        self._receive = receive
        self._headers: dict[bytes, bytes] = dict(scope["headers"])

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    def header(self, name: str) -> str | None:
        """`name` in lower case."""
        value = self._headers.get(name.encode("latin-1"))
        return None if value is None else value.decode("utf-8", "replace")

    async def json_body(self, limit: int) -> bytes:
        """Raises WrongMedia, TooLarge (before the body is read, when its length is announced), BadInput or Gone."""
        media = self._headers.get(b"content-type", JSON)
        if media != JSON and not _is_json(media):
            raise WrongMedia(
                f"content type {media.decode('latin-1')!r} is not taken here",
                hint="send content-type: application/json",
            )
        return await self.body(limit)

    async def body(self, limit: int) -> bytes:
        announced = self._headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > limit:
            raise _too_large(limit)
        message = await self._receive()
        if message["type"] != "http.request":
            raise Gone
        data: bytes = message["body"]
        if message["more_body"]:
            data = await self._rest(data, limit)
        if len(data) > limit:
            raise _too_large(limit)
        return data

    async def _rest(self, first: bytes, limit: int) -> bytes:
        chunks, size = [first], len(first)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while size <= limit:
                    message = await self._receive()
                    if message["type"] != "http.request":
                        raise Gone
                    chunks.append(message["body"])
                    size += len(chunks[-1])
                    if not message["more_body"]:
                        break
        except TimeoutError:
            raise BadInput(f"the body did not arrive within {BODY_SECONDS:g} s") from None
        return b"".join(chunks)

    async def drain(self) -> None:
        """Take in and drop what is still on its way: a connection closed under a sending client loses the answer."""
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while (await self._receive()).get("more_body"):
                    pass
        except TimeoutError:
            return

    async def gone(self) -> None:
        """Returns when the client has hung up; only after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def reply(self, reply: Reply) -> None:
        headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
        await self.send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": reply.body})

    async def refuse(self, reply: Reply) -> None:
        """Answer a request whose body was not read: the answer first, then the connection ends."""
        headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body)), (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": reply.body, "more_body": True})
        await self.drain()
        await self.send({"type": "http.response.body", "body": b""})


def _is_json(media: bytes) -> bool:
    name = media.partition(b";")[0].strip().lower()
    return name == JSON or name.endswith(b"+json")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is larger than {limit >> 20} MiB", hint="send several smaller calls; setting max_body_mb"
    )
