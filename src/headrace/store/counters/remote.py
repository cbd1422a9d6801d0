"""Counters in Redis or Valkey: exact across processes and machines. Needs the extra `limits`.

Called by traffic/limit.py on the event loop. Each step is one Lua script, so that what is checked is taken in the same
moment; the time is the server's own, so that everybody's minute is the same. What was taken and never settled is on a
list of leases, and goes back when its time is over.

Giving never waits: it is a line in a bounded queue that a task of our own writes. What is lost while the server is away
the ledger gives back (`seed`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from headrace.base.clock import Clock
from headrace.base.log import fields
from headrace.store.counters.base import LEASE_SECONDS, NEVER, Gauge, Seed, Taken
from headrace.store.counters.scripts import GIVE, RAISE, TAKE
from headrace.types.errors import Unavailable
from headrace.types.gateway import Window

PATIENCE_SECONDS = 0.25  # for an answer; then limits are open or closed, as each says
REST_SECONDS = 1.0  # before a server that did not answer is asked again: calls meanwhile do not wait for it
QUEUE = 10_000
BATCH = 100

log = logging.getLogger("headrace.store")


class _Lease(NamedTuple):
    id: str
    keys: tuple[str, ...]


class RemoteCounters:
    """`prefix`: of all our keys; in braces, so that a cluster keeps them together."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        prefix: str = "{headrace}:",
        lease_seconds: float = LEASE_SECONDS,
        patience: float = PATIENCE_SECONDS,
        now: Callable[[], str] = str,
    ) -> None:
        """`now`: in place of the server's time, where it is not empty."""
        self.lost = 0
        self._now = now
        self._clock, self._prefix, self._lease_seconds = clock, prefix, lease_seconds
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=patience,
            socket_connect_timeout=patience,
            retry=Retry(NoBackoff(), 0),
            max_connections=64,
        )
        self._take = self._redis.register_script(TAKE)
        self._give = self._redis.register_script(GIVE)
        self._raise = self._redis.register_script(RAISE)
        self._queue: deque[tuple[_Lease, Sequence[int]]] = deque()
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._writer: asyncio.Task[None] | None = None
        self._down_until = 0.0

    async def take(self, gauges: Sequence[Gauge], amounts: Sequence[int]) -> Taken:
        lease = secrets.token_hex(8)
        arguments: list[Any] = [self._prefix, lease, self._lease_seconds, self._now()]
        for gauge, amount in zip(gauges, amounts, strict=True):
            arguments += (gauge.name, gauge.window.value if gauge.window else "", amount, gauge.hard)
        refused, ends, used, keys = await self._ask(self._take, arguments)
        return Taken(
            int(refused),
            tuple(map(int, used)),
            tuple(float(end) if int(end) else NEVER for end in ends),
            None if int(refused) >= 0 else _Lease(lease, tuple(key.decode() for key in keys)),
        )

    def give(self, lease: object, used: Sequence[int]) -> None:
        assert isinstance(lease, _Lease)
        if len(self._queue) >= QUEUE:
            self._queue.popleft()
            self.lost += 1
        self._queue.append((lease, used))
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write(), name="counters")
        self._idle.clear()
        self._wake.set()

    async def seed(self, seeds: Sequence[Seed]) -> None:
        for each in seeds:
            name = f"{each.name}:{each.window.value}:{each.number}"
            seconds = 62 * 86_400 if each.window is Window.MONTH else 2 * 86_400
            await self._ask(self._raise, [self._prefix, name, each.used, seconds])

    async def drained(self) -> None:
        """Until all that was given is written."""
        await self._idle.wait()

    async def close(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.drained(), 2 * PATIENCE_SECONDS)
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._redis.aclose()

    async def _ask(self, script: Any, arguments: list[Any]) -> Any:
        if self._clock.steady() < self._down_until:
            raise _away("did not answer a moment ago")
        try:
            return await script(keys=[], args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            if self._clock.steady() >= self._down_until:
                log.warning("the counters in Redis cannot be reached", extra=fields(error=type(error).__name__))
            self._down_until = self._clock.steady() + REST_SECONDS
            # The others are as dead as this one, if the server was started anew: each would cost a rest of its own.
            with suppress(RedisError, OSError):
                await self._redis.connection_pool.disconnect(inuse_connections=False)
            raise _away(type(error).__name__) from error

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            while self._queue:
                batch = [self._queue[at] for at in range(min(BATCH, len(self._queue)))]
                try:
                    await asyncio.gather(*(self._settle(lease, used) for lease, used in batch))
                except Unavailable:
                    await asyncio.sleep(REST_SECONDS)  # settling twice is settling once: all of the batch goes again
                    continue
                for _ in range(min(len(batch), len(self._queue))):
                    self._queue.popleft()
            self._wake.clear()
            self._idle.set()

    async def _settle(self, lease: _Lease, used: Sequence[int]) -> None:
        arguments: list[Any] = [self._prefix, lease.id]
        for key, true in zip(lease.keys, used, strict=True):
            arguments += (key, true)
        await self._ask(self._give, arguments)


def _away(why: str) -> Unavailable:
    return Unavailable(f"the counters of the limits cannot be reached: {why}", retry_after=REST_SECONDS)
