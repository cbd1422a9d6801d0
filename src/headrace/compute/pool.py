"""Several children that answer the same calls: each one call at a time, whoever is idle first.

Called by serving/runtimes/hosted.py, one pool per loaded package. Decides which child takes a call, who waits for how
long, and how the pool grows and shrinks under traffic. One child that dies fails the call in its hands and no other:
the rest go on while it comes back (host.py). Ignores what the calls mean.
"""

from __future__ import annotations

import asyncio
import math
from asyncio import Future
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from headrace.compute.frames import Blob, Header, Message
from headrace.compute.host import HostLimits, HostProcess
from headrace.types.errors import TimedOut, Unavailable


class HostPool:
    """`make` builds the child of a number; it is started here."""

    def __init__(self, name: str, make: Callable[[int], HostProcess], limits: HostLimits) -> None:
        self.name = name
        self._make = make
        self._limits = limits
        self._hosts: list[HostProcess] = []
        self._made = 0
        self._idle: dict[HostProcess, None] = {}  # the last one in is taken first: its memory is warm
        self._busy: set[HostProcess] = set()
        self._waiting: deque[Future[HostProcess]] = deque()
        self._leaving: dict[HostProcess, asyncio.Event] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._scaling = asyncio.Lock()
        self._closed = False

    @property
    def instances(self) -> int:
        return len(self._hosts)

    @property
    def hosts(self) -> tuple[HostProcess, ...]:
        return tuple(self._hosts)

    async def scale(self, instances: int) -> None:
        """Returns when they are there, or gone. New ones are ready before they get a call; those that leave end their
        call first. Raises ModelRefused when a new one does not get ready: then it is as it was."""
        instances = max(1, instances)
        async with self._scaling:
            more = [self._make(self._made + n) for n in range(instances - len(self._hosts))]
            self._made += len(more)
            try:
                await asyncio.gather(*(host.start() for host in more))
            except BaseException:
                await asyncio.gather(*(host.close() for host in more))
                raise
            if self._closed:
                await asyncio.gather(*(host.close() for host in more))
                return
            for host in more:
                host.on_up = self._offer
                self._hosts.append(host)
                self._offer(host)
            leaving = self._hosts[instances:]
            del self._hosts[instances:]
            for host in leaving:
                self._idle.pop(host, None)
            await asyncio.gather(*(self._retire(host) for host in leaving))

    async def call(self, header: Header, blobs: Sequence[Blob] = (), *, deadline: float = math.inf) -> Message:
        """`deadline` on the loop's clock: when nobody waits for it any more. Raises TimedOut when no child was free
        until then, ModelFailed when the child died, Unavailable when none is there."""
        host = self._take() or await self._wait(deadline)
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            self._release(host)
            raise TimedOut(f"the call came to model host {self.name} after its time")
        try:
            found = await host.call(header, blobs, seconds=left + self._limits.grace_seconds)
        except asyncio.CancelledError:
            chore = asyncio.create_task(self._settle(host), name=f"settle {host.name}")
            self._chores.add(chore)
            chore.add_done_callback(self._chores.discard)
            raise
        except BaseException:
            self._release(host)
            raise
        self._release(host)
        return found

    async def close(self) -> None:
        self._closed = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(Unavailable(f"model host {self.name} is closed", retry_after=1.0))
        await asyncio.gather(*(host.close() for host in self._hosts))
        while self._chores:
            await asyncio.gather(*self._chores)

    # who is next

    def _take(self) -> HostProcess | None:
        while self._idle:
            host, _ = self._idle.popitem()
            if host.up:
                self._busy.add(host)
                return host
        return None

    async def _wait(self, deadline: float) -> HostProcess:
        if self._closed:
            raise Unavailable(f"model host {self.name} is closed", retry_after=1.0)
        loop = asyncio.get_running_loop()
        bound = loop.time() + (self._limits.call_seconds if self._some_up() else self._limits.wait_seconds)
        turn: Future[HostProcess] = loop.create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(min(deadline, bound)):
                return await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._release(turn.result())  # its turn came in the same moment
            if isinstance(error, asyncio.CancelledError):
                raise
            if self._some_up():
                raise TimedOut(f"no model host of {self.name} was free in time; {self.instances} are busy") from None
            raise Unavailable(f"model host {self.name} is not back yet", retry_after=1.0) from None
        finally:
            with suppress(ValueError):  # who was given a host is not in the queue any more
                self._waiting.remove(turn)

    def _some_up(self) -> bool:
        return any(host.up for host in self._hosts)

    def _release(self, host: HostProcess) -> None:
        self._busy.discard(host)
        if host in self._leaving:
            self._leaving[host].set()
        self._offer(host)

    def _offer(self, host: HostProcess) -> None:
        """To who waits longest; else it is idle. Told twice is told once."""
        if host in self._busy or host not in self._hosts or not host.up:
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._idle.pop(host, None)
                self._busy.add(host)
                turn.set_result(host)
                return
        self._idle[host] = None

    async def _settle(self, host: HostProcess) -> None:
        await host.settle()
        self._release(host)

    async def _retire(self, host: HostProcess) -> None:
        free = self._leaving[host] = asyncio.Event()
        if host in self._busy:
            await free.wait()
        del self._leaving[host]
        await host.close()
