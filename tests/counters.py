"""Counters of all three kinds for tests, and a process that takes from them: `python -m tests.counters URL|PATH …`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.running import free_port, wait_for
from headrace.base.clock import ManualClock, SystemClock
from headrace.store.counters.base import Counters, Gauge
from headrace.store.counters.local import LocalCounters
from headrace.store.counters.remote import RemoteCounters
from headrace.store.counters.shared import SharedCounters
from headrace.types.gateway import Window

START = datetime(2026, 10, 31, 23, 59, tzinfo=UTC).timestamp()  # a minute, a day and a month end in 60 seconds
GAUGE = Gauge("requests:key:abc", Window.MONTH, 500)


class RedisServer:
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._command = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(folder),
        ]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._answers, seconds=20, what="redis-server")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        import redis

        with redis.Redis(port=self.port) as client:
            return bool(client.ping())


class JumpingClock(ManualClock):
    """Its wall clock can be set without time going by."""

    def __init__(self) -> None:
        super().__init__(START)
        self.offset = 0.0

    def now(self) -> float:
        return self.time + self.offset


@dataclass
class Made:
    """One kind of counters with a clock that is moved by hand."""

    kind: str
    folder: Path
    clock: JumpingClock = field(default_factory=JumpingClock)
    url: str = ""
    prefix: str = ""

    def another(self, own: int = 0, *, lease_seconds: float = 900.0) -> Counters:
        if self.kind == "local":
            return LocalCounters(self.clock, lease_seconds)
        if self.kind == "shared":
            return SharedCounters(self.folder / "counters", workers=4, own=own, clock=self.clock)
        return RemoteCounters(
            self.url,
            clock=SystemClock(),
            prefix=self.prefix,
            lease_seconds=lease_seconds,
            patience=5.0,
            now=lambda: str(self.clock.now()),
        )


async def settled(counters: Counters) -> None:
    if isinstance(counters, RemoteCounters):
        await counters.drained()


async def main(where: str, own: str, calls: str, then: str) -> None:
    """Takes one, `calls` times; gives back as used. Writes how many passed. `then`: end, or hold until killed."""
    counters: Counters
    if where.startswith("redis:"):
        counters = RemoteCounters(where, clock=SystemClock(), patience=30.0)
    else:
        counters = SharedCounters(Path(where), workers=4, own=int(own), clock=SystemClock())
    passed = 0
    for _ in range(int(calls)):
        taken = await counters.take((GAUGE,), (1,))
        if taken.refused < 0:
            passed += 1
            if then == "end":
                counters.give(taken.lease, (1,))
    await settled(counters)
    sys.stdout.write(f"{passed}\n")
    sys.stdout.flush()
    if then == "hold":
        sys.stdin.read()
    await counters.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
