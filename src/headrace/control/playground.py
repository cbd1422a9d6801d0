"""Questions of a person in the console to chat models: through the data plane's own API, as any application asks.

Called by console/pages/playground.py. Decides with which key: an access key where there is one, else a virtual key of
its own, made when the gateway asks for keys. Streams; what a model refuses or breaks off is an error with its words.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import msgspec

from headrace.base.files import write_atomic
from headrace.base.secret import Secret
from headrace.traffic.keys import MadeKey
from headrace.types.errors import BadInput, HeadraceError, UpstreamError
from headrace.types.gateway import Gateway, Scope

_SECONDS = httpx.Timeout(10.0, read=120.0)
NAME = "headrace-console"  # of the virtual key
LONGEST = 512  # tokens of an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Of an answer as it comes. The first one says whose it is, the last what it took."""

    text: str = ""
    trace_id: str = ""
    upstream: str = ""
    read: int = 0  # tokens
    written: int = 0


class Keys(Protocol):
    """What this needs of provision.service.Provision."""

    def current(self) -> Gateway: ...
    def create_key(self, given: Any, *, actor: str) -> MadeKey: ...
    def revoke_key(self, wanted: str, *, actor: str) -> object: ...


class OwnKey:
    """`access`: an access key of the data plane. Where there are virtual keys one more is made, once; the first one is
    not made for this: it would lock all others out. `known` returns when the data planes know the keys there are."""

    def __init__(self, access: Secret, file: Path, keys: Keys, *, known: Callable[[], object]) -> None:
        self._access, self._file, self._keys, self._known = access, file, keys, known
        self._alone = threading.Lock()

    def __call__(self) -> Secret:
        """Waits for the disk and, once, for the planes."""
        if self._access or not self._keys.current().keys:
            return self._access
        with self._alone:
            if not self._file.exists():
                write_atomic(self._file, self._make().reveal().encode(), mode=0o600)
                self._known()
            return Secret(self._file.read_text())

    def _make(self) -> Secret:
        if any(key.name == NAME and not key.revoked for key in self._keys.current().keys):
            self._keys.revoke_key(NAME, actor="headrace")  # what it was is gone with its file
        return self._keys.create_key({"name": NAME, "scopes": [Scope.CHAT.value]}, actor="headrace").secret


class Playground:
    def __init__(
        self,
        url: str,
        *,
        key: Callable[[], Secret],
        user_header: str,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._key, self._user_header = key, user_header
        self._client = httpx.AsyncClient(base_url=url, timeout=_SECONDS, transport=transport, trust_env=False)

    async def models(self) -> tuple[str, ...]:
        answer = await self._send("GET", "/v1/models")
        return tuple(model["id"] for model in answer["data"])

    async def ask(self, model: str, messages: list[dict[str, Any]], *, user: str) -> AsyncIterator[Piece]:
        """Raises HeadraceError, also in the middle."""
        body = {"model": model, "messages": messages, "max_tokens": LONGEST, "stream": True}
        body["stream_options"] = {"include_usage": True}
        headers = await self._headers() | {self._user_header: user}
        try:
            async with self._client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
                if answer.status_code != 200:
                    raise _refusal(answer.status_code, await answer.aread())
                told = answer.headers
                yield Piece(trace_id=told.get("x-headrace-trace", ""), upstream=told.get("x-headrace-upstream", ""))
                async for line in answer.aiter_lines():
                    if line.startswith("data:") and (piece := _piece(line.removeprefix("data:").strip())):
                        yield piece
        except httpx.HTTPError as error:
            raise UpstreamError(f"{model} broke off: {type(error).__name__}") from error

    async def rate(self, trace_id: str, *, up: bool, rater: str) -> None:
        await self._send("POST", "/feedback", json={"trace_id": trace_id, "user_rating": up, "rater": rater})

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, method: str, path: str, **content: Any) -> Any:
        headers = await self._headers()
        try:
            answer = await self._client.request(method, path, headers=headers, **content)
        except httpx.HTTPError as error:
            raise UpstreamError(f"the data plane does not answer: {type(error).__name__}") from error
        if answer.status_code != 200:
            raise _refusal(answer.status_code, answer.content)
        return answer.json()

    async def _headers(self) -> dict[str, str]:
        key = (await asyncio.to_thread(self._key)).reveal()
        return {"authorization": f"Bearer {key}"} if key else {}


def _piece(data: str) -> Piece | None:
    """Of one event; None for one that says nothing to a reader."""
    if data == "[DONE]":
        return None
    try:
        event = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise UpstreamError(f"what came is no event of a chat: {data[:80]!r}") from error
    if "error" in event:
        raise UpstreamError(_words(event["error"]))
    text = "".join(choice.get("delta", {}).get("content") or "" for choice in event.get("choices") or ())
    usage = event.get("usage") or {}
    if not text and not usage:
        return None
    return Piece(text=text, read=usage.get("prompt_tokens", 0), written=usage.get("completion_tokens", 0))


def _refusal(status: int, body: bytes) -> HeadraceError:
    try:
        told = msgspec.json.decode(body)
        words = _words(told.get("error", told))
    except (msgspec.DecodeError, AttributeError):
        words = body[:200].decode(errors="replace")
    return (BadInput if status < 500 else UpstreamError)(words or f"status {status}")


def _words(error: Any) -> str:
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)
