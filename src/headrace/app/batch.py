"""The process of one job: `python -m headrace.app.batch JOB`. Started by the control plane (batch/jobs.py).

The composition root: reads the settings and the job, runs it, and writes how far it is and how it ended into the
database. Ended by a signal it says nothing: whoever sent it knows whether the job is cancelled or goes on later.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from threading import Event

from headrace.base.clock import SystemClock
from headrace.base.log import setup_log
from headrace.base.settings import Settings, load_settings
from headrace.batch.run import Progress, run_job
from headrace.client.infer import Target
from headrace.compute.ports import url_of
from headrace.store import jobs
from headrace.store.db import Database
from headrace.store.scored import written
from headrace.types.errors import HeadraceError
from headrace.types.job import Job, JobState


class Report:
    """Into the row of the job, unless it has been cancelled meanwhile."""

    def __init__(self, database: Database, job_id: str) -> None:
        self._database, self._id = database, job_id
        self._clock = SystemClock()

    def progress(self, now: Progress) -> None:
        """Once this was called, the parts are this job's own: another try does not throw them away."""
        self._change(rows=now.rows, failed=now.failed, total=now.total, restart=False)

    def done(self) -> None:
        self._change(state=JobState.DONE, ended=self._clock.now())

    def failed(self, error: HeadraceError) -> None:
        self._change(state=JobState.FAILED, ended=self._clock.now(), error=error.sentence())

    def _change(self, **changes: object) -> None:
        with self._database.write() as conn:
            jobs.change(
                conn,
                self._id,
                lambda job: job if job.state.ended else replace(job, **changes),  # type: ignore[arg-type]  # mypy cannot type **changes
            )


def run(settings: Settings, job: Job, report: Report, stop: Event) -> None:
    if job.tries > 1 and not job.restart and written(job.scoring, job.started):
        report.done()
        return
    target = Target(
        url=url_of(settings.host, settings.port),
        endpoint=job.scoring.endpoint,
        key=settings.api_keys.partition(",")[0].strip(),
        version=job.scoring.version,
        stage=job.scoring.stage,
        user=job.scoring.user,
        colour=job.scoring.colour,
        user_header=settings.user_header,
    )
    try:
        ended = run_job(job, target, clock=SystemClock(), stop=stop, on_progress=report.progress)
    except HeadraceError as error:
        report.failed(error)
        return
    if ended.finished:
        report.done()


def main() -> int:
    settings = load_settings()
    setup_log("batch", settings.log_level)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = Database(settings.database)
    try:
        with database.read() as conn:
            job = jobs.get(conn, sys.argv[1])
        run(settings, job, Report(database, job.id), stop)
    finally:
        database.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
