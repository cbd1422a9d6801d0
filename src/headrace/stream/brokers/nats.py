"""NATS JetStream: a durable pull consumer to read, and message ids that the server writes once.

Made by base.broker. `nats://host:4222/orders` is the subject `orders`; a stream that holds it is used, else one is
made, named after the subject. Ids are remembered for the stream's duplicate window: an hour for a stream made here.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from headrace.stream.brokers.base import Letter, Message, Place
from headrace.types.errors import UpstreamError

_WINDOW = 3600.0  # seconds
_LOOK_SECONDS = 5.0  # between looks at a consumer that gives nothing


class _Connection:
    def __init__(self, place: Place) -> None:
        self.place = place
        self._client: Client | None = None

    async def stream(self) -> JetStreamContext:
        """Connected, with a stream for the subject. The client reconnects by itself, for ever."""
        if self._client is None:
            client = await nats.connect(
                self.place.server,
                connect_timeout=5,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.5,
                error_cb=_quiet,
            )
            self._client = client
            await self._make(client.jetstream())
        return self._client.jetstream()

    async def _make(self, stream: JetStreamContext) -> None:
        try:
            await stream.find_stream_name_by_subject(self.place.name)
        except NotFoundError:
            name = self.place.options.get("stream") or re.sub(r"[^A-Za-z0-9_-]", "_", self.place.name)
            await stream.add_stream(StreamConfig(name=name, subjects=[self.place.name], duplicate_window=_WINDOW))

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


class NatsSource:
    def __init__(self, place: Place, *, group: str, idle_seconds: float) -> None:
        self._connection = _Connection(place)
        self._group, self._idle = group, idle_seconds
        self._pull: Any = None
        self._looked = time.monotonic()
        self._held: dict[str, Msg] = {}

    async def read(self, limit: int, seconds: float) -> list[Message]:
        async with _named(self._connection.place.name):
            if self._pull is None:
                stream = await self._connection.stream()
                self._pull = await stream.pull_subscribe(
                    self._connection.place.name, durable=self._group, config=ConsumerConfig(ack_wait=self._idle)
                )
            try:
                found: list[Msg] = await self._pull.fetch(limit, timeout=seconds)
            except TimeoutError:
                await self._look()
                return []
            messages = [_message(m) for m in found]
            self._held |= {message.id: m for message, m in zip(messages, found, strict=True)}
            return messages

    async def _look(self) -> None:
        """Who asks in the name of a consumer that a killed broker has forgotten hears nothing, not even an error. It is
        made again, from the first message on: answers are written once."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            await self._pull.consumer_info()
        except NotFoundError:
            await self._pull.unsubscribe()
            self._pull = None

    async def hold(self, messages: Sequence[Message]) -> None:
        async with _named(self._connection.place.name):
            for message in messages:
                if (held := self._held.get(message.id)) is not None:
                    await held.in_progress()

    async def done(self, messages: Sequence[Message]) -> None:
        async with _named(self._connection.place.name):
            for message in messages:
                if (held := self._held.get(message.id)) is not None:
                    await held.ack_sync(timeout=5)
                    del self._held[message.id]

    async def close(self) -> None:
        await self._connection.close()


class NatsSink:
    def __init__(self, place: Place) -> None:
        self._connection = _Connection(place)

    async def write(self, letters: Sequence[Letter]) -> None:
        async with _named(self._connection.place.name):
            stream = await self._connection.stream()
            for letter in letters:
                await stream.publish(
                    self._connection.place.name, letter.body, timeout=5, headers={"Nats-Msg-Id": letter.id}
                )

    async def close(self) -> None:
        await self._connection.close()


def source(place: Place, *, group: str, idle_seconds: float) -> NatsSource:
    return NatsSource(place, group=group, idle_seconds=idle_seconds)


def sink(place: Place) -> NatsSink:
    return NatsSink(place)


def _message(found: Msg) -> Message:
    return Message(
        id=str(found.metadata.sequence.stream), body=found.data, deliveries=found.metadata.num_delivered or 1
    )


async def _quiet(_: Exception) -> None:
    """The client tells each lost connection here as well; the next call raises it."""


@asynccontextmanager
async def _named(name: str) -> AsyncIterator[None]:
    try:
        yield
    except (NatsError, OSError, TimeoutError) as error:
        raise UpstreamError(f"NATS, subject {name!r}: {error or type(error).__name__}") from error
