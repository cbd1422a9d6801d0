"""Applications and operators of a migration, killed with -9 as they write, copy, switch: nothing answered is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.running import wait_for
from headrace.base.clock import SystemClock
from headrace.migration.check import pages
from headrace.migration.client import open_stores
from headrace.migration.drain import carry
from headrace.migration.migrate import Migration
from headrace.migration.roles import SOURCE, TARGET, look, truth_of
from headrace.migration.stores.base import Store
from headrace.types.migration import Field, Kind, Layout, Progress, Role, Row, Spec, Standing
from tests.stores import place

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[2]
LAYOUT = Layout(key=Field(name="id", kind=Kind.TEXT), fields=(Field(name="value", kind=Kind.INT),))
PAIRS = [
    pytest.param("sqlite", "redis", id="sqlite-redis"),
    pytest.param("redis", "postgres", id="redis-postgres", marks=pytest.mark.postgres),
    pytest.param("postgres", "sqlite", id="postgres-sqlite", marks=pytest.mark.postgres),
]
# Writes own keys, and tells each write before it and after its answer.
WRITER = """
import itertools, sys
from pathlib import Path
from headrace.migration.client import Moving
name, spec, told = sys.argv[1:]
with Moving.open(spec) as store, Path(told).open("a", buffering=1) as out:
    for number in itertools.count(1):
        key = f"{name}-{number % 7}"
        gone = number % 5 == 0
        out.write(f"try {key} {number} {int(gone)}\\n")
        store.delete(key) if gone else store.put(key, value=number)
        out.write(f"done {key} {number} {int(gone)}\\n")
"""


def quiet(_: Progress) -> None:
    pass


def contents(store: Store) -> dict[object, int]:
    return {r.key: (r.values or {})["value"] for page in pages(store, 100) for r in page.rows}


def allowed(told: Path) -> dict[str, set[int | None]]:
    """Of each key what it may hold: the last answered write, or one that was begun after it."""
    found: dict[str, set[int | None]] = {}
    for line in told.read_text().splitlines():
        what, key, number, gone = line.split()
        value = None if gone == "1" else int(number)
        found[key] = {value} if what == "done" else found.get(key, {None}) | {value}
    return found


class Writers:
    """Two applications, each started again when it was killed."""

    def __init__(self, folder: Path, spec: Path) -> None:
        self._folder, self._spec = folder, spec
        self.round = 0
        self.logs: list[Path] = []
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self.round += 1
        for n in range(2):
            name = f"w{self.round}{n}"
            self.logs.append(self._folder / name)
            command = [sys.executable, "-c", WRITER, name, str(self._spec), str(self.logs[-1])]
            self._running.append(subprocess.Popen(command, cwd=ROOT))
        self.wait(40)

    def wait(self, lines: int) -> None:
        """Until both have told so many lines more."""
        logs = self.logs[-2:]
        before = [len(log.read_bytes().splitlines()) if log.exists() else 0 for log in logs]

        def written() -> bool:
            assert all(process.poll() is None for process in self._running)
            return all(
                log.exists() and len(log.read_bytes().splitlines()) >= b + lines
                for log, b in zip(logs, before, strict=True)
            )

        wait_for(written, seconds=60, what="writes")

    def kill(self) -> None:
        for process in self._running:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self._running.clear()


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_no_answered_write_is_lost(source: str, target: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with place(request, source, tmp_path) as one, place(request, target, tmp_path) as other:
        spec = Spec(name="rows", source=one, target=other, layout=LAYOUT, chunk=5)
        path = tmp_path / "rows.yaml"
        described = {"name": "rows", "source": one, "target": other, "key": {"name": "id"}, "fields": {"value": "int"}}
        path.write_text(json.dumps(described | {"chunk": 5}))
        stores = open_stores(spec)
        stores[SOURCE].prepare(Role.FOLLOWER)  # with its table
        made = stores[SOURCE].standing()
        assert stores[SOURCE].stand(Standing(role=Role.TRUTH, epoch=made.epoch), made)
        stores[SOURCE].follow([Row(key=f"old{i}", values={"value": i}) for i in range(30)])
        writers = Writers(tmp_path, path)
        operator = Migration(spec, stores, folder=tmp_path, clock=SystemClock(), actor="ada")
        try:
            writers.start()
            operator.start()
            writers.wait(40)
            writers.kill()
            writers.start()
            operator.copy(quiet)
            _check(operator)
            writers.kill()
            writers.start()
            operator.switch(quiet)
            writers.wait(40)
            writers.kill()
            _compare(stores, writers, TARGET)
            writers.start()
            operator.back()
            _check(operator)
            _kill_a_switch(path, tmp_path, writers)
            writers.kill()
            truth = truth_of(stores)  # whichever it came to
            assert truth is not None
            _compare(stores, writers, truth)
        finally:
            writers.kill()
            operator.close()
            for store in stores:
                store.close()


def _check(operator: Migration) -> None:
    """Rows are written all the while; what is on its way is no difference."""
    found = operator.check(quiet)
    assert found.equal, found


def _kill_a_switch(path: Path, folder: Path, writers: Writers) -> None:
    """Three times, each after another while; the applications go on writing."""
    for lines in (2, 25, 60):
        command = [
            sys.executable,
            "-m",
            "headrace.cli.main",
            "migrate",
            "switch",
            str(path),
            "--home",
            str(folder / "h"),
        ]
        record = folder / "h" / "migrations"
        record.mkdir(parents=True, exist_ok=True)
        (record / "rows.db").write_bytes((folder / "rows.db").read_bytes())
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        writers.wait(lines)
        process.send_signal(signal.SIGKILL)
        process.wait()
        writers.wait(10)


def _compare(stores: tuple[Store, Store], writers: Writers, truth: int) -> None:
    assert look(stores).truth == truth
    found = contents(stores[truth])
    assert {f"old{i}": i for i in range(30)}.items() <= found.items()
    for log in writers.logs:
        for key, values in allowed(log).items():
            assert found.get(key) in values, (key, found.get(key), values)
    while carry(stores[truth], stores[1 - truth]):
        pass  # what the killed ones have left behind
    # Read anew: the last commit of a killed writer may still have been under way in its server.
    assert contents(stores[1 - truth]) == contents(stores[truth])
