"""What a write, and a read, costs more while data moves: `python -m bench.migration`, some two minutes.

Calls of an application through the client while each write goes to both stores, against a control, the same
calls through the client of a migration that has not begun, taken in turns in one run. Prints p50 and p99 of each,
and for how long a switch kept writers waiting. Needs redis-server.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import redis

from bench.running import free_port, wait_for
from headrace.base.clock import SystemClock
from headrace.migration.client import Moving, open_stores
from headrace.migration.migrate import Migration
from headrace.types.migration import Field, Kind, Layout, Progress, Spec

LAYOUT = Layout(key=Field(name="id", kind=Kind.TEXT), fields=(Field(name="value", kind=Kind.TEXT),))
ROWS, CALLS, ROUNDS = 5000, 200, 10


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        for source, target in (("sqlite", "redis"), ("redis", "sqlite")):
            if shutil.which("redis-server") is None:
                sys.stdout.write("redis-server is not installed\n")
                return 1
            _measure(Path(folder) / source, source, target)
    return 0


def _measure(folder: Path, source: str, target: str) -> None:
    folder.mkdir()
    with _redis(folder) as port:
        urls = {
            "sqlite": f"sqlite:///{folder}/rows.db?table=rows",
            "redis": f"redis://127.0.0.1:{port}/0?prefix=rows:",
        }
        with sqlite3.connect(folder / "rows.db") as conn:
            conn.execute("CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY NOT NULL, value TEXT)")
        conn.close()
        # The control: another migration's client on the same kind of store, where nothing is moved.
        moved = Spec(name="moved", source=urls[source], target=urls[target], layout=LAYOUT)
        still = Spec(name="still", source=urls[source], target=urls[target], layout=LAYOUT)
        stores = open_stores(moved)
        with Moving(moved) as dual, Moving(still) as control:
            for i in range(ROWS):
                dual.put(f"k{i}", value="x" * 100)
            migration = Migration(moved, stores, folder=folder, clock=SystemClock(), actor="bench")
            migration.start()
            began = time.perf_counter()
            migration.copy(_quiet)
            sys.stdout.write(f"{source} → {target}: {ROWS / (time.perf_counter() - began):,.0f} rows/s copied\n")
            for what, call in (("put", _put), ("get", _get)):
                pairs = _in_turns(lambda i, c=call: c(control, i), lambda i, c=call: c(dual, i))
                for name, index in (("p50", 0.5), ("p99", 0.99)):
                    a, b = (sorted(times)[int(index * len(times))] * 1e6 for times in pairs)
                    sys.stdout.write(f"  {what} {name}: {a:,.0f} → {b:,.0f} µs ({100 * (b / a - 1):+.1f} %)\n")
            assert migration.check(_quiet).equal
            sys.stdout.write(f"  a switch under writes kept them waiting {_switched(migration, dual) * 1e3:.1f} ms\n")
            migration.close()
        for store in stores:
            store.close()


def _put(store: Moving, i: int) -> None:
    store.put(f"k{i % ROWS}", value=str(i) * 20)


def _get(store: Moving, i: int) -> None:
    store.get(f"k{i % ROWS}")


def _in_turns(one: Callable[[int], None], other: Callable[[int], None]) -> tuple[list[float], list[float]]:
    """A little of each, in turns, so that the machine's moods meet both."""
    found: tuple[list[float], list[float]] = ([], [])
    for turn in range(ROUNDS * CALLS):
        for times, call in zip(found, (one, other), strict=True):
            began = time.perf_counter()
            call(turn)
            times.append(time.perf_counter() - began)
            time.sleep(0.001)  # an application's pace: the second write has its turn between calls
    return found


def _switched(migration: Migration, store: Moving) -> float:
    """For how long no store took a write, while an application wrote without a pause."""
    stop = Event()

    def write() -> None:
        i = 0
        while not stop.is_set():
            _put(store, i := i + 1)

    thread = Thread(target=write)
    thread.start()
    waited = migration.switch(_quiet).waited_seconds
    stop.set()
    thread.join()
    return waited


@contextmanager
def _redis(folder: Path) -> Iterator[int]:
    port = free_port()
    kept = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", *kept], stdout=subprocess.DEVNULL
    )
    client = redis.Redis(port=port)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False

    wait_for(answers, seconds=20, what="redis-server")
    yield port
    client.close()
    process.kill()
    process.wait()


def _quiet(_: Progress) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
