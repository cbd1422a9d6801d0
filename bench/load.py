"""A load generator on bare sockets: keep-alive connections that each send the next request when the answer is there.
A SIGTERM ends it early; what it saw until then is its result.

Used by the benchmarks, the fault tests and nothing else. `python -m bench.load` runs it as a process of its own and
prints its result as JSON, so that its CPU is not counted as the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(kw_only=True)
class Result:
    """`latencies` in milliseconds, in order of completion; `statuses` by HTTP status, 0 for a broken connection."""

    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        return sum(n for status, n in self.statuses.items() if not 200 <= status < 300)

    def quantile(self, q: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0

    def summary(self) -> dict[str, object]:
        return {
            "requests": self.requests,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "per_second": round(self.requests / self.seconds, 1) if self.seconds else 0,
            "p50_ms": round(self.quantile(0.5), 3),
            "p99_ms": round(self.quantile(0.99), 3),
            "statuses": self.statuses,
        }


Body = Callable[[int], tuple[bytes, dict[str, str]]]


async def drive(
    host: str, port: int, path: str, body: Body, *, concurrency: int, seconds: float, rate: float = 0.0
) -> Result:
    """Send POST requests for `seconds`; `rate` in requests/s over all connections, 0: as fast as they are answered."""
    result = Result()
    start = time.perf_counter()
    numbers = iter(range(sys.maxsize))

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def connection() -> None:
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        while (now := time.perf_counter()) - start < seconds and not stop.is_set():
            number = next(numbers)
            if rate and (due := start + number / rate) > now:
                await asyncio.sleep(due - now)
            sent = time.perf_counter()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(host, port)
                assert reader is not None
                status, trace = await _exchange(reader, writer, host, path, *body(number))
            except (OSError, asyncio.IncompleteReadError, ValueError):
                status, trace = 0, ""
                if writer is not None:
                    writer.close()
                writer = None
                await asyncio.sleep(0.01)
            result.statuses[status] = result.statuses.get(status, 0) + 1
            result.latencies.append((time.perf_counter() - sent) * 1000)
            if trace:
                result.traces.append(trace)
        if writer is not None:
            writer.close()

    await asyncio.gather(*(connection() for _ in range(concurrency)))
    result.seconds = time.perf_counter() - start
    return result


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    host: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
) -> tuple[int, str]:
    extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{extra}\r\n".encode()
        + body
    )
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
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--bodies", type=Path, required=True, help="JSON list of request bodies, sent in turn")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--users", type=int, default=0, help="send x-user-id, taking turns among so many")
    parser.add_argument("--full", action="store_true", help="also print every latency and trace id")
    options = parser.parse_args()
    bodies = [json.dumps(body).encode() for body in json.loads(options.bodies.read_text())]

    def body(number: int) -> tuple[bytes, dict[str, str]]:
        user = {"x-user-id": f"user-{number % options.users}"} if options.users else {}
        return bodies[number % len(bodies)], user

    result = asyncio.run(
        drive(
            options.host,
            options.port,
            options.path,
            body,
            concurrency=options.concurrency,
            seconds=options.seconds,
            rate=options.rate,
        )
    )
    sys.stdout.write(json.dumps(asdict(result) if options.full else result.summary()))


if __name__ == "__main__":
    main()
