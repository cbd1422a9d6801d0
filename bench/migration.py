"""What a write, and a read, costs more while data moves: `python -m bench.migration`, five minutes on a quiet machine.

An application calls its store through the client at its own pace: of a migration under way whose second write is
carried by a thread of the application (`dual`), of one where `headrace migrate carry` does it (`apart`), and, as the
control, of two migrations that have not begun. The four have tables of their own in the same store and take turns in
shuffled order in one run. The difference of the two controls is what this machine cannot tell from nothing (`noise`).
Prints a table, and for how long a switch kept writers waiting. Needs redis-server and PostgreSQL; both acknowledge what
is on their disk. `python -m bench.migration sqlite-redis` takes one pair.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pg8000.native
import redis
import yaml

from bench.postgres import running_postgres
from bench.running import HEADRACE, free_port, wait_for
from headrace.base.clock import SystemClock
from headrace.migration.client import Moving, open_stores
from headrace.migration.migrate import Migration
from headrace.migration.spec import read_spec
from headrace.types.migration import Progress, Spec

CLIENTS = ("control", "again", "dual", "apart")
PAIRS = ("sqlite-redis", "redis-sqlite", "postgres-redis", "redis-postgres", "sqlite-postgres", "postgres-sqlite")
ROWS, CALLS = 3000, 3000
PACE = 0.001  # seconds between two calls of an application
HEAD = "| from, to | call | control p50, p99 µs | noise | dual: a thread carries | apart: another process carries |\n"

Times = dict[str, list[float]]


def main() -> int:
    pairs = sys.argv[1:] or list(PAIRS)
    sys.stdout.write(f"{HEAD}|---|---|--:|--:|--:|--:|\n")
    waits = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {
            "sqlite": f"sqlite:///{folder}",
            "redis": f"redis://127.0.0.1:{stack.enter_context(_redis(Path(folder)))}/0?prefix=",
            "postgres": stack.enter_context(running_postgres(fsync=True)),
        }
        for pair in pairs:
            source, _, target = pair.partition("-")
            waits.append(_measure(Path(folder), servers, source=source, target=target))
    sys.stdout.write(f"\na switch under writes kept them waiting {', '.join(f'{1e3 * w:.1f}' for w in waits)} ms\n")
    return 0


def _measure(folder: Path, servers: dict[str, str], *, source: str, target: str) -> float:
    """For how long a switch, at the end, kept writers waiting."""
    specs = {name: _spec(folder, servers, f"{name}_{source}_{target}", (source, target)) for name in CLIENTS}
    with ExitStack() as stack:
        moving = {
            name: stack.enter_context(Moving(read_spec(path), carry=name != "apart")) for name, path in specs.items()
        }
        for client in moving.values():
            for i in range(ROWS):
                _put(client, i)
        running = {name: stack.enter_context(_under_way(read_spec(specs[name]), folder)) for name in ("dual", "apart")}
        stack.enter_context(_carrier(specs["apart"], folder))
        for what, call in (("put", _put), ("get", _get)):
            _row(f"{source} → {target}", what, _in_turns(call, moving))
        for name, migration in running.items():
            wait_for(lambda m=moving[name]: not m.lag().rows, seconds=60, what=f"{name} is carried")  # type: ignore[misc]
            assert migration.check(_quiet).equal
        return _switched(running["dual"], moving["dual"])


def _spec(folder: Path, servers: dict[str, str], name: str, kinds: tuple[str, str]) -> Path:
    """A table of its own for each: SQLite a file of its own, too."""

    def place(kind: str, side: str) -> str:
        url, table = servers[kind], f"{name}_{side}"
        forms = {
            "sqlite": f"{url}/{table}.db?table={table}",
            "redis": f"{url}{table}:",
            "postgres": f"{url}?table={table}",
        }
        return forms[kind]

    path = folder / f"{name}.yaml"
    body = {
        "name": name,
        "source": place(kinds[0], "source"),
        "target": place(kinds[1], "target"),
        "key": {"name": "id", "kind": "text"},
        "fields": {"value": "text"},
    }
    path.write_text(yaml.safe_dump(body))
    if kinds[0] != "redis":
        _make_table(kinds[0], servers[kinds[0]], f"{name}_source")
    return path


def _make_table(kind: str, url: str, table: str) -> None:
    """As an application has it that is there before its migration."""
    statement = f"CREATE TABLE {table} (id TEXT PRIMARY KEY NOT NULL, value TEXT)"
    if kind == "sqlite":
        with closing(sqlite3.connect(f"{url.removeprefix('sqlite:///')}/{table}.db")) as conn:
            conn.execute(statement)
        return
    parts = urlsplit(url)
    user, database = parts.username or "", parts.path.strip("/")
    with closing(pg8000.native.Connection(user, host=parts.hostname, port=parts.port, database=database)) as conn:
        conn.run(statement)


@contextmanager
def _under_way(spec: Spec, folder: Path) -> Iterator[Migration]:
    stores = open_stores(spec)
    migration = Migration(spec, stores, folder=folder / "records", clock=SystemClock(), actor="bench")
    migration.start()
    migration.copy(_quiet)
    yield migration
    migration.close()
    for store in stores:
        store.close()


@contextmanager
def _carrier(spec: Path, folder: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [HEADRACE, "migrate", "carry", str(spec), "--home", str(folder / "home")], stderr=subprocess.DEVNULL
    )
    yield
    process.terminate()
    process.wait(20)


def _put(store: Moving, i: int) -> None:
    store.put(f"k{i % ROWS}", value=str(i % 10_000).zfill(5) * 20)


def _get(store: Moving, i: int) -> None:
    store.get(f"k{i % ROWS}")


def _in_turns(call: Callable[[Moving, int], None], clients: dict[str, Moving]) -> Times:
    """One call of each, shuffled, so that the machine's moods meet all alike."""
    found: Times = {name: [] for name in clients}
    order, chance = list(clients), random.Random(5)
    for turn in range(CALLS):
        chance.shuffle(order)
        for name in order:
            began = time.perf_counter()
            call(clients[name], turn)
            found[name].append(time.perf_counter() - began)
            time.sleep(PACE)
    return found


def _row(pair: str, what: str, times: Times) -> None:
    levels = {name: [_level(each, share) for share in (0.5, 0.99)] for name, each in times.items()}
    control = levels["control"]
    shown = ", ".join(f"{1e6 * level:,.0f}" for level in control)
    changes = [
        ", ".join(f"{100 * (b / a - 1):+.1f} %" for a, b in zip(control, levels[name], strict=True))
        for name in ("again", "dual", "apart")
    ]
    sys.stdout.write(f"| {pair} | {what} | {shown} | {' | '.join(changes)} |\n")
    sys.stdout.flush()


def _level(times: list[float], share: float) -> float:
    return sorted(times)[int(share * len(times))]


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
