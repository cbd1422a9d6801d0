"""From a broker through an endpoint and back, until it is told to stop. Reads from top to bottom as one message's way.

Called by `headrace stream`. The order is the guarantee: read → answer → write → acknowledge. A kill between any two
repeats a message; what it writes again has the id of the first time, and the broker keeps the first.

Back-pressure: as many batches are in hand as `concurrency` says, and while all of them wait for an endpoint that sheds
or is away, nothing is read. A broker that is away is tried again, more slowly each time, for ever; whoever runs this
can end it. An endpoint that does not exist ends it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from asyncio import Semaphore, Task
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from headrace.base.log import fields
from headrace.client.score import Stopped
from headrace.stream.answers import Answers, Outcome
from headrace.stream.brokers.base import Letter, Message, Sink, Source
from headrace.types.errors import UpstreamError

READ_SECONDS = 1.0  # that a read waits for messages: also how late a stop may be seen
FIRST_WAIT, LONGEST_WAIT = 0.1, 10.0

log = logging.getLogger("headrace.stream")
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Counts:
    read: int = 0
    redelivered: int = 0  # of the read ones, such as were delivered before
    answered: int = 0
    dead: int = 0
    in_hand: int = 0
    broker_errors: int = 0
    waits: int = 0  # for the endpoint
    error: str = ""  # the last trouble with either


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    batch: int = 32  # messages read, and sent in one call, at most
    concurrency: int = 4  # batches in hand
    hold_seconds: float = 20.0  # how often a broker is told that they still are


class Stream:
    def __init__(
        self,
        *,
        source: Source,
        answers: Answers,
        sink: Sink,
        dead: Sink,
        counts: Counts,
        pace: Pace,
    ) -> None:
        self._source, self._answers, self._sink, self._dead = source, answers, sink, dead
        self.counts = counts
        self._pace = pace
        self._slots = Semaphore(pace.concurrency)
        self._tasks: set[Task[None]] = set()
        self._failure: BaseException | None = None

    async def run(self, stop: threading.Event) -> None:
        """Ends when `stop` is set and what is in hand is written, or raises what makes it senseless to go on."""
        try:
            while not stop.is_set() and self._failure is None:
                await self._slots.acquire()
                messages = await self._patiently(lambda: self._source.read(self._pace.batch, READ_SECONDS), stop)
                if not messages:
                    self._slots.release()
                    continue
                self._take(messages, stop)
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks)
        if self._failure is not None:
            raise self._failure

    def _take(self, messages: Sequence[Message], stop: threading.Event) -> None:
        self.counts.read += len(messages)
        self.counts.redelivered += sum(1 for message in messages if message.deliveries > 1)
        self.counts.in_hand += len(messages)
        task = asyncio.create_task(self._handle(messages, stop))
        self._tasks.add(task)

        def ended(done: Task[None]) -> None:
            self._tasks.discard(done)
            self._slots.release()
            self.counts.in_hand -= len(messages)
            if not done.cancelled() and (error := done.exception()) is not None:
                self._failure = error

        task.add_done_callback(ended)

    async def _handle(self, messages: Sequence[Message], stop: threading.Event) -> None:
        holding = asyncio.create_task(self._hold(messages))
        try:
            outcomes = await asyncio.to_thread(self._answers, messages)
            await self._write(outcomes, stop)
        except Stopped:
            return  # not acknowledged: it comes again
        finally:
            holding.cancel()
            with suppress(asyncio.CancelledError):
                await holding

    async def _write(self, outcomes: Sequence[Outcome], stop: threading.Event) -> None:
        answered = [outcome for outcome in outcomes if not outcome.error]
        dead = [outcome for outcome in outcomes if outcome.error]
        for sink, some in ((self._sink, answered), (self._dead, dead)):
            letters = [Letter(id=self._answers.id_of(o.message), body=o.body) for o in some]
            if letters and await self._patiently(lambda s=sink, x=letters: _wrote(s, x), stop) is None:  # type: ignore[misc]
                return
        if await self._patiently(lambda: _done(self._source, [o.message for o in outcomes]), stop):
            self.counts.answered += len(answered)
            self.counts.dead += len(dead)

    async def _patiently(self, call: Callable[[], Awaitable[T]], stop: threading.Event) -> T | None:
        """None when it is time to stop while the broker is away. A stop does not break off what works."""
        wait = FIRST_WAIT
        while True:
            try:
                return await call()
            except UpstreamError as error:
                self.counts.broker_errors += 1
                self.counts.error = error.message
                if wait == FIRST_WAIT:
                    log.warning("the broker fails", extra=fields(error=error.message))
            if await asyncio.to_thread(stop.wait, wait):
                return None
            wait = min(LONGEST_WAIT, wait * 2)

    async def _hold(self, messages: Sequence[Message]) -> None:
        """As long as they are worked on, or the broker would give them to the next consumer."""
        while True:
            await asyncio.sleep(self._pace.hold_seconds)
            with suppress(UpstreamError):  # then they come again, and their answers are known by their ids
                await self._source.hold(messages)


async def _wrote(sink: Sink, letters: Sequence[Letter]) -> bool:
    await sink.write(letters)
    return True


async def _done(source: Source, messages: Sequence[Message]) -> bool:
    await source.done(messages)
    return True
