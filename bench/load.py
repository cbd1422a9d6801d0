"""A load generator on bare sockets: keep-alive connections that send the requests which wire.py prepared, in turn.
A SIGTERM ends it early; what it saw until then is its result.

Used by the measurements and the fault tests. `python -m bench.load` runs it as a process of its own and prints its
result as JSON, so that its CPU is not counted as the server's. Without `--rate` each connection sends when its last
answer is there, and a latency is from send to answer. With one, requests are due at fixed times whatever the server
does, and a latency is from the time that the request was due: a server that stalls cannot hide its queue (coordinated
omission).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop

from bench.wire import prepared


@dataclass(kw_only=True)
class Result:
    """`latencies` in milliseconds, in order of completion; `minutes`: how many of them each minute ended with;
    `statuses` by HTTP status, 0 for a broken connection."""

    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    minutes: list[int] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        return sum(n for status, n in self.statuses.items() if not 200 <= status < 300)

    def summary(self) -> dict[str, object]:
        edges = [0, *self.minutes, len(self.latencies)]
        return {
            "requests": self.requests,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "p50_ms": quantile(self.latencies, 0.5),
            "p99_ms": quantile(self.latencies, 0.99),
            "max_ms": quantile(self.latencies, 1.0),
            "p99_by_minute": [quantile(self.latencies[a:b], 0.99) for a, b in itertools.pairwise(edges) if b > a],
            "statuses": self.statuses,
        }


def quantile(latencies: Sequence[float], q: float) -> float:
    ordered = sorted(latencies)
    return round(ordered[min(len(ordered) - 1, int(q * len(ordered)))], 3) if ordered else 0.0


class Drive:
    """`rate` in requests/s over all connections, 0: as fast as they are answered."""

    def __init__(
        self, port: int, requests: list[bytes], *, concurrency: int, seconds: float, rate: float = 0.0
    ) -> None:
        self._port = port
        self._requests = requests
        self._concurrency = concurrency
        self._seconds = seconds
        self._rate = rate
        self._numbers = iter(range(sys.maxsize))
        self._stop = asyncio.Event()
        self._start = 0.0
        self.result = Result()

    async def run(self) -> Result:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop.set)
        self._start = time.perf_counter()
        await asyncio.gather(*(self._connection() for _ in range(self._concurrency)))
        self.result.seconds = time.perf_counter() - self._start
        return self.result

    async def _connection(self) -> None:
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        while (now := time.perf_counter()) - self._start < self._seconds and not self._stop.is_set():
            number = next(self._numbers)
            due = self._start + number / self._rate if self._rate else now
            if due > now:
                await asyncio.sleep(due - now)
            try:
                if reader is None or writer is None or reader.at_eof() or writer.is_closing():
                    # A connection that the server ended between two requests is opened anew, as every client does.
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(self._requests[number % len(self._requests)])
                status, trace = await _answer(reader)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                status, trace = 0, ""
                if writer is not None:
                    writer.close()
                writer = None
                await asyncio.sleep(0.01)
            self._note(status, trace, due)
        if writer is not None:
            writer.close()

    def _note(self, status: int, trace: str, due: float) -> None:
        result, now = self.result, time.perf_counter()
        while now - self._start >= 60 * (len(result.minutes) + 1):
            result.minutes.append(len(result.latencies))
        result.statuses[status] = result.statuses.get(status, 0) + 1
        result.latencies.append((now - due) * 1000)
        if trace:
            result.traces.append(trace)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str]:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    length, trace = 0, ""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        match name.lower():
            case b"content-length":
                length = int(value)
            case b"x-headrace-trace":
                trace = value.strip().decode()
    await reader.readexactly(length)
    return status, trace


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=Path, required=True, help="written by bench.wire.prepare")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--full", action="store_true", help="also print every latency and trace id")
    given = parser.parse_args()
    requests = list(prepared(given.requests))
    drive = Drive(given.port, requests, concurrency=given.concurrency, seconds=given.seconds, rate=given.rate)
    result = uvloop.run(drive.run())
    sys.stdout.write(json.dumps(asdict(result) if given.full else result.summary()))


if __name__ == "__main__":
    main()
