"""One job from its first row to its output. Reads from top to bottom: file → columns → engine → parts → output.

Called by `headrace predict --input` and by app/batch.py. Decides when scored rows go to the disk (after so many or so
long), that too many failed rows end the job, and what is left of a job that was stopped: all of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from headrace.base.clock import Clock
from headrace.batch.columns import Arrangement, arrange
from headrace.batch.engines.base import OnWait, engine
from headrace.batch.score import Worker
from headrace.client.infer import Infer, Target
from headrace.client.score import PATIENCE
from headrace.store.rowfile import RowFile, Rows, open_rows
from headrace.store.scored import Part, Parts, joined
from headrace.types.errors import BadInput, ModelFailed
from headrace.types.job import FileFormat, Job, Scoring

PART_ROWS, PART_SECONDS = 16_384, 5.0  # whichever comes first: what a kill makes a job do again


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`rows` are on disk, `failed` of them have an error. `about` is a guess at the total, 0 where there is none."""

    rows: int
    failed: int
    begun: int  # rows that were on disk before this run
    total: int | None = None
    about: int = 0
    finished: bool = False


def run_job(
    job: Job,
    target: Target,
    *,
    clock: Clock,
    stop: Event,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_wait: OnWait = lambda _: None,
    patience: float = PATIENCE,
) -> Progress:
    """The last progress; `finished` is false when it was stopped. The same job goes on where this one ended."""
    scoring = job.scoring
    _readable(Path(scoring.input))
    file = open_rows(Path(scoring.input), scoring.input_format)
    worker = Worker(target=target, arrangement=_arrangement(scoring, file, target), patience=patience)
    made = engine(job.engine, concurrency=job.concurrency)
    parts = Parts(scoring, restart=job.restart)
    try:
        now = Progress(
            rows=parts.rows, failed=parts.failed, begun=parts.rows, total=file.total, about=file.total or file.about
        )
        on_progress(now)
        blocks = file.blocks(skip=parts.rows, size=scoring.rows_per_call)
        for part in _gathered(made.run(blocks, worker, stop=stop, on_wait=on_wait), clock):
            parts.add(part)
            now = replace(now, rows=parts.rows, failed=parts.failed)
            on_progress(now)
            _bearable(parts, job.max_failed, part)
        if stop.is_set():
            return now
        parts.finish()
        return replace(now, finished=True)
    finally:
        parts.close()


def _readable(path: Path) -> None:
    if not path.is_file():
        raise BadInput(f"there is no file {str(path)!r}", field="input")


def _arrangement(scoring: Scoring, file: RowFile, target: Target) -> Arrangement:
    """From the first rows of the file, also when the job goes on in its middle."""
    head = next(file.blocks(skip=0, size=scoring.rows_per_call))
    infer = Infer(target)
    try:
        interface = infer.interface()
    finally:
        infer.close()
    inputs = interface.inputs
    if _nameless(head, scoring):
        inputs = ()  # no record, so no column: nothing is asked of it
    found = arrange(inputs, interface.outputs, head.columns, features=scoring.features, keep=scoring.keep)
    found.kept(head.columns)
    return found


def _nameless(head: Rows, scoring: Scoring) -> bool:
    return scoring.input_format is FileFormat.JSONL and not head.count


def _gathered(parts: Iterator[Part], clock: Clock) -> Iterator[Part]:
    """Few files, each synced, instead of one for each call."""
    waiting: list[Part] = []
    since = clock.steady()
    for part in parts:
        waiting.append(part)
        if sum(p.count for p in waiting) >= PART_ROWS or clock.steady() - since >= PART_SECONDS:
            yield joined(waiting)
            waiting, since = [], clock.steady()
    if waiting:
        yield joined(waiting)


def _bearable(parts: Parts, most: int, last: Part) -> None:
    if parts.failed > most:
        raise ModelFailed(
            f"{parts.failed} of {parts.rows} rows have failed, more than {most}; such as: {last.reason}",
            field="max_failed",
            hint="with a higher --max-failed the same command goes on from there",
        )
