"""Redis Streams (or Valkey): a consumer group to read, and a script that writes each id once.

Made by base.broker. Decides that an entry's field `data` is the message, that the group begins with the oldest entry,
and that ids are remembered in a sorted set beside the stream (`STREAM:ids`), in the same atomic step that writes.
`?db=2` names a database.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from headrace.stream.brokers.base import REMEMBERED, Letter, Message, Place
from headrace.types.errors import UpstreamError

FIELD = b"data"
# KEYS: stream, ids. ARGV: seconds to remember, then id and body of each letter.
_WRITE = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[1]))
for i = 2, #ARGV, 2 do
  if redis.call('ZADD', KEYS[2], 'NX', now, ARGV[i]) == 1 then
    redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'data', ARGV[i + 1])
  end
end
"""


class RedisSource:
    def __init__(self, place: Place, *, group: str, idle_seconds: float) -> None:
        self._redis = _client(place)
        self._name, self._group = place.name, group
        self._idle_ms = int(idle_seconds * 1000)
        self._consumer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._ready = False
        self._cursor: Any = "0-0"  # how far the search for what was left behind has come

    async def read(self, limit: int, seconds: float) -> list[Message]:
        async with _named(self._name):
            if not self._ready:
                await self._make()
            left = await self._left_behind(limit)
            if left:
                return left
            try:
                found: Any = await self._redis.xreadgroup(
                    self._group, self._consumer, {self._name: ">"}, count=limit, block=max(1, int(seconds * 1000))
                )
            except ResponseError as error:
                self._ready = not str(error).startswith("NOGROUP")  # Redis came back without its data
                raise
            entries = found[0][1] if found else []
            return [_message(entry, fields, 1) for entry, fields in entries]

    async def hold(self, messages: Sequence[Message]) -> None:
        async with _named(self._name):
            ids: list[Any] = [message.id for message in messages]
            await self._redis.xclaim(self._name, self._group, self._consumer, 0, ids, justid=True)

    async def done(self, messages: Sequence[Message]) -> None:
        async with _named(self._name):
            await self._redis.xack(self._name, self._group, *(message.id for message in messages))

    async def close(self) -> None:
        try:
            own = [c for c in await self._redis.xinfo_consumers(self._name, self._group) if not c["pending"]]
            if any(c["name"].decode() == self._consumer for c in own):
                await self._redis.xgroup_delconsumer(self._name, self._group, self._consumer)
        except (RedisError, OSError):
            return  # it is only tidier without an idle consumer's name
        finally:
            await self._redis.aclose()

    async def _make(self) -> None:
        try:
            await self._redis.xgroup_create(self._name, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._ready = True

    async def _left_behind(self, limit: int) -> list[Message]:
        """By consumers that died: claimed when nobody has held them for the idle time."""
        claimed: Any = await self._redis.xautoclaim(
            self._name, self._group, self._consumer, min_idle_time=self._idle_ms, start_id=self._cursor, count=limit
        )
        self._cursor = claimed[0]
        messages = []
        for entry, fields in claimed[1]:
            if fields is None:  # the entry was trimmed from the stream
                await self._redis.xack(self._name, self._group, entry)
                continue
            pending: Any = await self._redis.xpending_range(self._name, self._group, entry, entry, 1)
            messages.append(_message(entry, fields, pending[0]["times_delivered"] if pending else 2))
        return messages


class RedisSink:
    def __init__(self, place: Place) -> None:
        self._redis = _client(place)
        self._name = place.name
        self._script = self._redis.register_script(_WRITE)

    async def write(self, letters: Sequence[Letter]) -> None:
        async with _named(self._name):
            told: list[Any] = [part for letter in letters for part in (letter.id, letter.body)]
            await self._script(keys=[self._name, f"{self._name}:ids"], args=[REMEMBERED, *told])

    async def close(self) -> None:
        await self._redis.aclose()


def source(place: Place, *, group: str, idle_seconds: float) -> RedisSource:
    return RedisSource(place, group=group, idle_seconds=idle_seconds)


def sink(place: Place) -> RedisSink:
    return RedisSink(place)


def _client(place: Place) -> Redis:
    return Redis.from_url(f"{place.server}/{place.options.get('db', '0')}", socket_connect_timeout=5, socket_timeout=30)


def _message(entry: bytes, fields: dict[bytes, bytes], deliveries: int) -> Message:
    """An entry without our field has an empty body, which is no JSON: a dead letter that says so."""
    return Message(id=entry.decode(), body=fields.get(FIELD, b""), deliveries=deliveries)


@asynccontextmanager
async def _named(name: str) -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise UpstreamError(f"Redis, stream {name!r}: {error}") from error
