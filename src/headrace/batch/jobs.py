"""Jobs of the API: taken, started one process each, started again when it died, ended when someone says so.

Called by the admin API (submit, cancel) and by a loop of the control plane (turn). Decides which paths a job may name,
how many run at once, and when a job that keeps dying is given up. The state is in the database alone: a control plane
that was killed took its processes along, finds their jobs there, and starts them where they were.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from headrace.base.clock import Clock
from headrace.base.ids import new_id
from headrace.compute.keeper import Keeper
from headrace.store import audit, endpoints, jobs
from headrace.store.db import Connection, Database
from headrace.store.formats import format_of
from headrace.types.errors import BadInput, Conflict, NotFound
from headrace.types.job import EngineName, Job, JobState, Scoring

TRIES = 5

Start = Callable[[Job], "subprocess.Popen[bytes]"]
LastWords = Callable[[Job], str]  # of a process that died


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What POST /api/v1/jobs takes. Paths are within the folder of the setting `files`."""

    endpoint: str
    input: str
    output: str
    input_format: str | None = None
    output_format: str | None = None
    features: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    rows_per_call: int = 256
    concurrency: int = 4
    max_failed: int = 10_000
    restart: bool = False
    engine: EngineName = EngineName.LOCAL
    version: str | None = None
    stage: str | None = None
    user: str = ""
    colour: str = ""


class Jobs:
    def __init__(self, *, database: Database, clock: Clock, folder: Path, start: Start, last_words: LastWords) -> None:
        self._database, self._clock, self._folder = database, clock, folder
        self._start, self._last_words = start, last_words
        self._keeper = Keeper(self._begin)

    def submit(self, order: Order, *, actor: str) -> Job:
        """Raises BadInput, NotFound; what is wrong with the file itself, the job finds out."""
        made = Job(
            id=new_id("job"),
            scoring=self._scoring(order),
            created=self._clock.now(),
            actor=actor,
            engine=order.engine,
            concurrency=_within(order.concurrency, 1, 256, field="concurrency"),
            max_failed=_within(order.max_failed, 0, 1 << 40, field="max_failed"),
            restart=order.restart,
        )
        with self._database.write() as conn:
            if endpoints.get(conn, order.endpoint) is None:
                raise NotFound(f"there is no endpoint {order.endpoint!r}", field="endpoint")
            busy = next((j for j in jobs.unended(conn) if j.scoring.output == made.scoring.output), None)
            if busy is not None:
                raise Conflict(f"job {busy.id} is at work on {order.output!r}", field="output")
            jobs.add(conn, made)
            self._note(conn, made, "job.submit", actor)
        return made

    def cancel(self, job_id: str, *, actor: str) -> Job:
        """What is done stays beside the output; the same order goes on from there."""
        with self._database.write() as conn:
            found = jobs.get(conn, job_id)
            if found.state.ended:
                raise Conflict(f"job {job_id} has ended: {found.state}", field="job")
            ended = replace(found, state=JobState.CANCELLED, ended=self._clock.now())
            self._note(conn, ended, "job.cancel", actor)
            return jobs.change(conn, job_id, lambda _: ended)

    def turn(self) -> None:
        with self._database.read() as conn:
            wanted = {job.id: job for job in jobs.unended(conn)}
        self._keeper.tick(wanted)

    def close(self) -> None:
        """Their jobs go on when the control plane is back."""
        self._keeper.close()

    def _begin(self, job: Job) -> subprocess.Popen[bytes] | None:
        now = self._clock.now()
        spent = job.tries >= TRIES

        def begun(found: Job) -> Job:
            if found.state.ended:
                return found
            if spent:
                words = f"its process died {found.tries} times: {self._last_words(found)}"
                return replace(found, state=JobState.FAILED, ended=now, error=words)
            return replace(found, state=JobState.RUNNING, started=found.started or now, tries=found.tries + 1)

        with self._database.write() as conn:
            changed = jobs.change(conn, job.id, begun)
        return None if changed.state.ended else self._start(changed)

    def _scoring(self, order: Order) -> Scoring:
        source, output = self._place(order.input, "input"), self._place(order.output, "output")
        if source == output:
            raise BadInput("input and output are the same file", field="output")
        return Scoring(
            endpoint=order.endpoint,
            input=str(source),
            output=str(output),
            input_format=format_of(source, order.input_format, field="input"),
            output_format=format_of(output, order.output_format, field="output"),
            features=order.features,
            keep=order.keep,
            rows_per_call=_within(order.rows_per_call, 1, 1_000_000, field="rows_per_call"),
            version=order.version,
            stage=order.stage,
            user=order.user,
            colour=order.colour,
        )

    def _place(self, name: str, field: str) -> Path:
        """Links are followed first: none leads out."""
        folder = self._folder.resolve()
        path = (folder / name).resolve()
        if not path.is_relative_to(folder) or path == folder:
            raise BadInput(
                f"{field} is {name!r}, which is not in the folder for files, {str(folder)!r}",
                field=field,
                hint="the setting files names another",
            )
        return path

    def _note(self, conn: Connection, job: Job, action: str, actor: str) -> None:
        detail = f"{job.scoring.input} → {job.scoring.output}"
        audit.append(conn, actor=actor, action=action, subject=job.scoring.endpoint, detail=detail, now=job.created)


def _within(value: int, low: int, high: int, *, field: str) -> int:
    if not low <= value <= high:
        raise BadInput(f"{field} is {value!r}; allowed: {low} to {high}", field=field)
    return value
