"""Real brokers for tests, each on a free port with a folder of its own; what the tests put in and read back."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nats
import pytest
import redis
from nats.js.api import ConsumerConfig, DeliverPolicy

from bench.running import free_port, wait_for


class Server:
    scheme = ""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.answers, seconds=20, what=self.scheme)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def url(self, name: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/{name}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def put(self, name: str, bodies: Sequence[bytes]) -> None:
        raise NotImplementedError

    def read(self, name: str) -> list[dict[str, Any]]:
        """All bodies that were ever written."""
        raise NotImplementedError

    def open_work(self, name: str, group: str) -> int:
        """Messages that are not acknowledged, delivered or not."""
        raise NotImplementedError


class RedisServer(Server):
    scheme = "redis"

    def command(self) -> list[str]:
        kept = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), *kept]

    def answers(self) -> bool:
        with self._client() as client:
            try:
                return bool(client.ping())
            except redis.exceptions.RedisError:
                return False

    def put(self, name: str, bodies: Sequence[bytes]) -> None:
        with self._client() as client:
            pipe = client.pipeline(transaction=False)
            for body in bodies:
                pipe.xadd(name, {"data": body})
            pipe.execute()

    def read(self, name: str) -> list[dict[str, Any]]:
        with self._client() as client:
            found: Any = client.xrange(name)
            return [json.loads(fields[b"data"]) for _, fields in found]

    def open_work(self, name: str, group: str) -> int:
        with self._client() as client:
            found: Any = client.xinfo_groups(name)
            mine = next(g for g in found if g["name"].decode() == group)
            return int(mine["pending"]) + int(mine["lag"] or 0)

    def _client(self) -> redis.Redis:
        return redis.Redis(port=self.port)


class NatsServer(Server):
    scheme = "nats"

    def command(self) -> list[str]:
        return ["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder)]

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False

        async def ask() -> bool:
            try:
                client = await nats.connect(
                    f"nats://127.0.0.1:{self.port}", allow_reconnect=False, connect_timeout=1, error_cb=_quiet
                )
                await client.jetstream().account_info()
            except (OSError, nats.errors.Error):
                return False
            await client.close()
            return True

        return asyncio.run(ask())

    def put(self, name: str, bodies: Sequence[bytes]) -> None:
        async def put() -> None:
            client = await nats.connect(f"nats://127.0.0.1:{self.port}")
            stream = client.jetstream()
            await stream.add_stream(name=name, subjects=[name])
            for body in bodies:
                await stream.publish(name, body)
            await client.close()

        asyncio.run(put())

    def read(self, name: str) -> list[dict[str, Any]]:
        async def read() -> list[dict[str, Any]]:
            client = await nats.connect(f"nats://127.0.0.1:{self.port}")
            stream = client.jetstream()
            found = []
            try:
                pull = await stream.pull_subscribe(name, config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL))
                while True:
                    found += [json.loads(m.data) for m in await pull.fetch(500, timeout=0.3)]
            except TimeoutError:
                return found
            except nats.js.errors.NotFoundError:
                return []
            finally:
                await client.close()

        return asyncio.run(read())

    def forget(self, name: str, group: str) -> None:
        """The consumer, not its messages."""

        async def forget() -> None:
            client = await nats.connect(f"nats://127.0.0.1:{self.port}")
            await client.jetstream().delete_consumer(name, group)
            await client.close()

        asyncio.run(forget())

    def open_work(self, name: str, group: str) -> int:
        async def ask() -> int:
            client = await nats.connect(f"nats://127.0.0.1:{self.port}")
            info = await client.jetstream().consumer_info(name, group)
            await client.close()
            return int(info.num_pending or 0) + int(info.num_ack_pending or 0)

        return asyncio.run(ask())


async def _quiet(_: Exception) -> None:
    pass


SERVERS: dict[str, type[Server]] = {"redis": RedisServer, "nats": NatsServer}
PARAMETERS = [
    pytest.param(
        name, marks=pytest.mark.skipif(shutil.which(f"{name}-server") is None, reason=f"{name}-server is not installed")
    )
    for name in SERVERS
]


def settled(read: Any, count: int, *, seconds: float = 60.0) -> list[dict[str, Any]]:
    """What `read` gives once it gives so many."""
    deadline = time.monotonic() + seconds
    while len(found := read()) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    return list(found)
