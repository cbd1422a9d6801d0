"""A small world for a turn of the flywheel: a journal with corrections, a registry and a control plane in files.

Used by tests of the pipeline. What is told to the registry and the control plane is on disk the moment it is told, as
it is with the real ones, so that a turn that is killed finds what it has done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from threading import Event
from types import SimpleNamespace
from typing import Any

import msgspec
import pg8000.native
from sqlalchemy import make_url

from headrace.base.clock import SystemClock
from headrace.compute.executors.base import Executor, OnLine, Task
from headrace.compute.executors.process import ProcessExecutor
from headrace.flywheel import exam
from headrace.flywheel.datasets import Datasets
from headrace.flywheel.shop import Shop
from headrace.flywheel.turns import Known, Turns, code_folder
from headrace.flywheel.usable import Usable
from headrace.serving.lm import Aliases
from headrace.store import endpoints, feedbacks, turns
from headrace.store.db import Database
from headrace.store.enrol import Enroller
from headrace.store.journal.query import JournalQuery
from headrace.store.migrate import migrate
from headrace.types.model import ModelVersion
from headrace.types.turn import Cause, Turn
from tests.control_samples import START, call, corrected, endpoint, open_database, open_journal, version, write

__all__ = ["Known", "World", "world"]

ROWS = 160
TRAIN = """
import json, pathlib, sys
rows = [json.loads(line) for line in open("train.jsonl")]
print("headrace progress 0.5 half of", len(rows), flush=True)
out = pathlib.Path("out/model")
out.mkdir()
(out / "MLmodel").write_text("flavors: {}")
(out / "table.json").write_text(json.dumps({json.dumps(row["inputs"][:1]): row["label"] for row in rows}))
"""
SPEC: dict[str, Any] = {
    "train": {"command": ["python", "code/train.py"], "timeout_seconds": 60, "memory_mb": 4096},
    "data": {
        "base": "base.jsonl",
        "golden": "golden.jsonl",
        "min_rows": 5,
        "rules": [{"name": "outliers", "on": False}],
    },
    "gates": {"min_golden": 10},
}


class FileClient:
    """The part of MLflow's client that enrol.py uses, on one file; a version is made whenever it is asked for."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def search_model_versions(self, _: str, *, max_results: int) -> list[Any]:
        return [SimpleNamespace(**each) for each in self._read()["versions"][:max_results]]

    def search_runs(self, _: list[str], wanted: str, *, max_results: int) -> list[Any]:
        mark = wanted.split("'")[1]
        found = [run for run in self._read()["runs"] if run["tags"]["headrace.turn"] == mark][:max_results]
        return [SimpleNamespace(info=SimpleNamespace(run_id=run["run_id"])) for run in found]

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id=name)

    def create_run(self, _: str, *, tags: dict[str, str], run_name: str) -> Any:
        with self._change() as kept:
            run_id = f"run-{len(kept['runs'])}"
            kept["runs"].append({"run_id": run_id, "tags": tags, "name": run_name})
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id))

    def get_run(self, run_id: str) -> Any:
        return SimpleNamespace(info=SimpleNamespace(artifact_uri=f"file:/{run_id}"))

    def create_model_version(
        self, name: str, source: str, *, run_id: str, tags: dict[str, str], description: str
    ) -> None:
        with self._change() as kept:
            number = len(kept["versions"]) + 2
            kept["versions"].append(
                {"version": str(number), "tags": tags, "source": source, "run_id": run_id, "name": name}
            )

    def delete_model_version(self, _: str, number: str) -> None:
        with self._change() as kept:
            kept["versions"] = [each for each in kept["versions"] if each["version"] != number]

    def __getattr__(self, name: str) -> Any:
        """log_batch, log_inputs, log_artifacts, …: done as often as asked, with the same result."""
        return lambda *_, **__: None

    def _read(self) -> dict[str, list[Any]]:
        return json.loads(self._file.read_text()) if self._file.exists() else {"runs": [], "versions": []}

    @contextmanager
    def _change(self) -> Iterator[dict[str, list[Any]]]:
        kept = self._read()
        yield kept
        new = self._file.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(kept))
        new.replace(self._file)


class FileControl:
    """As the control plane: a release's id is known from the moment that it begins."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def release(self, endpoint: str, candidate: str, *, plan: dict[str, Any] | None, release_id: str) -> dict[str, Any]:
        begun = json.loads(self._file.read_text()) if self._file.exists() else []
        if all(each["id"] != release_id for each in begun):
            begun.append({"id": release_id, "candidate": candidate, "endpoint": endpoint, "phase": "running"})
            self._file.write_text(json.dumps(begun))
        return begun[-1]


class FileRegistry:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def resolve(self, uri: str) -> ModelVersion:
        return version(int(uri.rpartition("/")[2]))

    def download(self, found: ModelVersion, folder: Path) -> Path:
        (folder / "table.json").write_text("{}")
        return folder


class TableAsker:
    """The model is a table from inputs to labels; what is not in it is answered with 0."""

    def run(self, task: Task, *, on_line: OnLine, stop: Event) -> None:
        ask = msgspec.json.decode((task.folder / exam.ASK).read_bytes(), type=exam.Ask)
        table = json.loads((Path(ask.model) / "table.json").read_text())
        sets = {
            name: [
                table.get(json.dumps([json.loads(line)["inputs"][0]]), 0)
                for line in (task.folder / name).read_text().splitlines()
            ]
            for name in ask.sets
        }
        told = {"sets": sets, "row_ms": 1.0}
        (task.folder / "out" / exam.ANSWERS).write_text(json.dumps(told))

    def forget(self, task: Task) -> None:
        pass


class World:
    """Rows `[n, …]` with n from 0 to 19 are asked; the live version answers 0, people say n % 5."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder, self.database = folder, database
        self.state = folder / "flywheel"
        self.specs = folder / "flywheels"
        self.journal = folder / "journal"
        self.registry: Any = FileRegistry(folder)
        self.aliases = Aliases(None)
        self.versions, self.releases = folder / "mlflow.json", folder / "releases.json"

    def fill(self, *, shift: int = 0, **spec: Any) -> None:
        """`shift`: by how much what people say is off."""
        with open_journal(self.journal) as journal, self.database.write() as conn:
            endpoints.replace_all(conn, [endpoint()])
            for number in range(ROWS):
                one = call(
                    number,
                    input=[[number % 20, 1000 + number]],
                    output=[0],
                    unit=f"user-{number % 40}",
                    time=START + number,
                )
                said = corrected(one, [(number + shift) % 5], rater=f"user-{number % 40}")
                write(journal, [one])
                feedbacks.put(conn, [said])
        place = self.specs / "digits"
        place.mkdir(parents=True)
        (place / "train.py").write_text(TRAIN)
        golden = [{"inputs": [n, -part], "label": n % 5} for n in range(20) for part in (1, 2, 3)]
        (place / "base.jsonl").write_text(json.dumps({"inputs": [0, 0], "label": 0}) + "\n")
        (place / "golden.jsonl").write_text("\n".join(json.dumps(case) for case in golden))
        (place / "flywheel.yaml").write_text(json.dumps({**SPEC, **spec}))

    def turns(self) -> Turns:
        def never(_: Turn) -> Any:
            raise AssertionError("no process is started here")

        query = JournalQuery(self.journal)
        return Turns(
            database=self.database,
            clock=_Late(),
            folder=self.state,
            specs=self.specs,
            usable=Usable(self.database, query),
            start=never,
            last_words=lambda _: "",
        )

    def begin(self, cause: Cause = Cause.BUTTON) -> Turn:
        return self.turns().begin("digits", cause=cause, why="", actor="ann")

    def shop(self, turn_id: str, *, executor: Executor | None = None, stop: Event | None = None) -> Shop:
        with self.database.read() as conn:
            turn = turns.get(conn, turn_id)
        enroller = Enroller("http://127.0.0.1:9")
        enroller._client = FileClient(self.versions)  # type: ignore[assignment]
        return Shop(
            turn=turn,
            code=code_folder(self.state, turn_id),
            database=self.database,
            query=JournalQuery(self.journal),
            datasets=Datasets(
                database=self.database,
                query=JournalQuery(self.journal),
                folder=self.folder / "datasets",
                clock=SystemClock(),
            ),
            registry=self.registry,
            enroller=enroller,
            executor=executor or ProcessExecutor(),
            asker=TableAsker(),
            aliases=self.aliases,
            control=FileControl(self.releases),
            clock=SystemClock(),
            stop=stop or Event(),
            passed={},
        )

    def turn(self, turn_id: str) -> Turn:
        with self.database.read() as conn:
            return turns.get(conn, turn_id)


class _Late(SystemClock):
    """The journal's rows are of START; a turn looks back for days."""

    def now(self) -> float:
        return START + 3600.0


@contextmanager
def world(folder: Path, **spec: Any) -> Iterator[World]:
    with open_database(folder) as database:
        made = World(folder, database)
        made.fill(**spec)
        yield made


@contextmanager
def stored_in(postgres: str) -> Iterator[Database]:
    """An empty database of its own on a PostgreSQL server."""
    name = f"turns_{token_hex(4)}"
    url = make_url(postgres)
    server = pg8000.native.Connection(
        url.username or "", host=url.host or "", port=url.port or 5432, database="postgres"
    )
    server.run(f"CREATE DATABASE {name}")
    database = Database(url.set(database=name).render_as_string(hide_password=False))
    try:
        migrate(database)
        yield database
    finally:
        database.close()
        server.run(f"DROP DATABASE {name} WITH (FORCE)")
        server.close()
