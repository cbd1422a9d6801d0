"""Jobs of the API: what is taken, what is started, what becomes of one whose process dies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from headrace.app.batch import Report
from headrace.app.batch import run as run_process
from headrace.base.clock import ManualClock
from headrace.base.settings import Settings
from headrace.batch.jobs import TRIES, Jobs, Order
from headrace.compute.keeper import AT_ONCE
from headrace.store import audit, jobs, plans
from headrace.store.db import Database
from headrace.types.errors import BadInput, Conflict, NotFound
from headrace.types.job import Job, JobState
from tests.control_samples import START, endpoint, open_database
from tests.played_endpoint import sums


class PlayedProcess:
    def __init__(self) -> None:
        self.code: int | None = None
        self.asked = False

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.asked = True

    def wait(self, seconds: float) -> int:
        self.code = 0
        return 0


class Stand:
    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.started: list[tuple[str, PlayedProcess]] = []
        self.made = self.control_plane()

    def control_plane(self) -> Jobs:
        return Jobs(
            database=self.database,
            clock=ManualClock(START),
            folder=self.folder,
            start=self._start,
            last_words=lambda _: "MemoryError",
        )

    def _start(self, job: Job) -> Any:
        self.started.append((job.id, PlayedProcess()))
        return self.started[-1][1]

    def job(self, job_id: str) -> Job:
        with self.database.read() as conn:
            return jobs.get(conn, job_id)

    def submit(self, name: str = "rows.csv", **more: Any) -> Job:
        return self.made.submit(Order(endpoint="digits", input=name, output=f"{name}.parquet", **more), actor="ann")


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with open_database(tmp_path) as database:
        with database.write() as conn:
            plans.publish(conn, [endpoint()], reason="test", now=START)
        (tmp_path / "files").mkdir()
        yield Stand(database, tmp_path / "files")


def test_a_job_is_taken_started_and_written_down(stand: Stand) -> None:
    made = stand.submit(keep=("id",))
    assert (made.state, made.scoring.input) == (JobState.QUEUED, str(stand.folder / "rows.csv"))
    stand.made.turn()
    stand.made.turn()
    assert [job_id for job_id, _ in stand.started] == [made.id]
    assert (stand.job(made.id).state, stand.job(made.id).tries) == (JobState.RUNNING, 1)
    with stand.database.read() as conn:
        assert [(e.actor, e.action, e.subject) for e in audit.entries(conn)] == [("ann", "job.submit", "digits")]
        assert [j.id for j in jobs.recent(conn)] == [made.id]


def test_a_dead_process_is_started_again_until_it_is_given_up(stand: Stand) -> None:
    made = stand.submit()
    for number in range(TRIES):
        stand.made.turn()
        assert len(stand.started) == number + 1
        stand.started[-1][1].code = -9
    stand.made.turn()
    ended = stand.job(made.id)
    assert (ended.state, ended.error) == (JobState.FAILED, f"its process died {TRIES} times: MemoryError")
    stand.made.turn()
    assert len(stand.started) == TRIES


def test_a_new_control_plane_goes_on(stand: Stand) -> None:
    made = stand.submit()
    stand.made.turn()
    stand.made = stand.control_plane()
    stand.made.turn()
    assert [job_id for job_id, _ in stand.started] == [made.id, made.id]
    assert stand.job(made.id).tries == 2


def test_a_few_run_at_once(stand: Stand) -> None:
    made = [stand.submit(f"{i}.csv") for i in range(AT_ONCE + 1)]
    stand.made.turn()
    assert {job_id for job_id, _ in stand.started} < {job.id for job in made}
    assert len(stand.started) == AT_ONCE
    first, process = stand.started[0]
    with stand.database.write() as conn:
        jobs.change(conn, first, lambda job: replace(job, state=JobState.DONE))
    process.code = 0
    stand.made.turn()
    assert len(stand.started) == AT_ONCE + 1


def test_a_cancelled_job_ends_and_stays_ended(stand: Stand) -> None:
    made = stand.submit()
    stand.made.turn()
    assert stand.made.cancel(made.id, actor="ben").state is JobState.CANCELLED
    stand.made.turn()
    assert stand.started[0][1].asked
    Report(stand.database, made.id).done()
    assert stand.job(made.id).state is JobState.CANCELLED
    with pytest.raises(Conflict, match="has ended: cancelled"):
        stand.made.cancel(made.id, actor="ben")
    with pytest.raises(NotFound):
        stand.made.cancel("job_x", actor="ben")


def test_a_stop_takes_the_processes_along(stand: Stand) -> None:
    made = stand.submit()
    stand.made.turn()
    stand.made.close()
    assert stand.started[0][1].asked
    assert stand.job(made.id).state is JobState.RUNNING


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"input": "../headrace.db"}, "input"),
        ({"input": "/etc/passwd"}, "input"),
        ({"output": "link/out.csv"}, "output"),
        ({"output": "rows.csv"}, "output"),
        ({"input": "rows.txt"}, "input"),
        ({"rows_per_call": 0}, "rows_per_call"),
        ({"concurrency": 1000}, "concurrency"),
    ],
)
def test_what_is_refused(stand: Stand, changes: dict[str, Any], field: str) -> None:
    (stand.folder / "link").symlink_to(stand.folder.parent)
    order = {"endpoint": "digits", "input": "rows.csv", "output": "out.csv"} | changes
    with pytest.raises(BadInput) as error:
        stand.made.submit(Order(**order), actor="ann")
    assert error.value.field == field


def test_unknown_endpoints_and_busy_outputs_are_refused(stand: Stand) -> None:
    with pytest.raises(NotFound, match="'nope'"):
        stand.made.submit(Order(endpoint="nope", input="a.csv", output="b.csv"), actor="ann")
    stand.submit()
    with pytest.raises(Conflict, match="is at work"):
        stand.submit()


def test_the_process_tells_how_it_ended(stand: Stand) -> None:
    (stand.folder / "rows.csv").write_text("id,a,b,c\nx,1,1,1\ny,13,0,0\n")
    with sums() as played:
        settings = Settings(home=stand.folder.parent, port=int(played.url.rpartition(":")[2]))
        good, bad = stand.submit(keep=("id",)), stand.submit("none.csv")
        for made in (good, bad):
            job = replace(made, scoring=replace(made.scoring, endpoint="sums"), tries=1)
            run_process(settings, job, Report(stand.database, made.id), Event())
    done = stand.job(good.id)
    assert (done.state, done.rows, done.failed) == (JobState.DONE, 2, 1)
    assert "there is no file" in stand.job(bad.id).error
    # Killed after the output was there, before it could say so.
    again = stand.submit()
    run_process(settings, replace(again, tries=2, started=1.0), Report(stand.database, again.id), Event())
    assert stand.job(again.id).state is JobState.DONE
