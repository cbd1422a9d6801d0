"""A file through an endpoint, seen from the command line: what was asked as a job, its progress as a bar, its end.

Called by predict.py. Decides what a signal means: the calls under way end, their rows are kept, the exit status is 130.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from headrace.base.clock import SystemClock
from headrace.base.ids import new_id
from headrace.cli.options import admin, data_url, settings_for
from headrace.cli.show import emit, err, note, say
from headrace.client.infer import Target
from headrace.store.formats import format_of
from headrace.types.errors import HeadraceError, Unavailable
from headrace.types.job import EngineName, Job, Scoring

INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    endpoint: str
    input: Path
    output: Path
    input_format: str | None
    output_format: str | None
    features: tuple[str, ...]
    keep: tuple[str, ...]
    rows_per_call: int
    concurrency: int
    max_failed: int
    restart: bool
    engine: EngineName
    version: str | None
    stage: str | None
    user: str
    colour: str
    key: str


def score_file(options: FileOptions, *, home: Path | None, url: str | None, json: bool) -> None:
    run_job = _installed()
    settings = settings_for(home)
    target = Target(
        url=data_url(home, url),
        endpoint=options.endpoint,
        key=options.key,
        version=options.version,
        stage=options.stage,
        user=options.user,
        user_header=settings.user_header,
        colour=options.colour,
    )
    job = Job(
        id=new_id("job"),
        scoring=scoring_of(options),
        created=time.time(),
        engine=options.engine,
        concurrency=options.concurrency,
        max_failed=options.max_failed,
        restart=options.restart,
    )
    began = time.monotonic()
    with _stopping() as stop, _Bar(quiet=json) as bar:
        ended = run_job(job, target, clock=SystemClock(), stop=stop, on_progress=bar.show, on_wait=bar.waits)
    _tell(job, ended, time.monotonic() - began, json=json)
    if not ended.finished:
        raise typer.Exit(INTERRUPTED)


def submit_file(options: FileOptions, *, home: Path | None, json: bool) -> None:
    """As a job of the control plane. A path of ours is not one of its machine, so they are sent as they are."""
    order = asdict(options) | {
        "input": str(options.input),
        "output": str(options.output),
        "features": _listed(options.features),
        "keep": _listed(options.keep),
    }
    del order["key"]
    with admin(home, None) as control:
        made = control.submit_job(order)
    if json:
        emit(made)
    else:
        say(f"[bold]{escape(made['id'])}[/]: headrace jobs {escape(made['id'])}")


def scoring_of(options: FileOptions) -> Scoring:
    source, output = options.input.absolute(), options.output.absolute()
    return Scoring(
        endpoint=options.endpoint,
        input=str(source),
        output=str(output),
        input_format=format_of(source, options.input_format, field="input"),
        output_format=format_of(output, options.output_format, field="output"),
        features=_listed(options.features),
        keep=_listed(options.keep),
        rows_per_call=options.rows_per_call,
        version=options.version,
        stage=options.stage,
        user=options.user,
        colour=options.colour,
    )


def _listed(given: tuple[str, ...]) -> tuple[str, ...]:
    """An option may be given several times, or once with commas."""
    return tuple(name for text in given for name in text.split(",") if name)


def _installed() -> Any:
    """Arrow, which reads the files, is a fifth of a second that no other command pays, and no part of the core."""
    try:
        from headrace.batch.run import run_job  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"scoring files needs {error.name}", hint="install it with: pip install 'headrace[control]'"
        ) from error
    return run_job


@contextmanager
def _stopping() -> Iterator[Event]:
    """Set by the first signal; the second is the default's: it ends the process, which loses no more than a kill."""
    stop = Event()
    before: dict[signal.Signals, Any] = {}

    def asked(number: int, _: FrameType | None) -> None:
        signal.signal(number, before[signal.Signals(number)])
        stop.set()

    for kind in (signal.SIGINT, signal.SIGTERM):
        before[kind] = signal.signal(kind, asked)
    try:
        yield stop
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


class _Bar:
    def __init__(self, *, quiet: bool) -> None:
        console = err() if not quiet else Console(quiet=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rows]}"),
            TextColumn("[dim]{task.fields[rate]}[/]"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("scoring", total=None, rows="", rate="", state="")
        self._began = time.monotonic()
        self._rows = 0

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, now: Any) -> None:
        if not self._rows and now.begun and now.rows == now.begun:
            note(f"[dim]goes on after row {now.begun:,}[/]")
        self._rows = now.rows
        seconds = max(0.001, time.monotonic() - self._began)
        total = now.total if now.total is not None else max(now.about, now.rows)
        self._bar.update(
            self._task,
            total=total or None,
            completed=now.rows,
            rows=f"{now.rows:,} of {'' if now.total is not None else 'about '}{total:,} rows",
            rate=f"{(now.rows - now.begun) / seconds:,.0f} rows/s",
            state=f"[yellow]{now.failed:,} failed[/]" if now.failed else "",
        )

    def waits(self, error: HeadraceError) -> None:
        self._bar.update(self._task, state=f"[yellow]waits: {escape(error.message)}[/]")


def _tell(job: Job, ended: Any, seconds: float, *, json: bool) -> None:
    rate = (ended.rows - ended.begun) / seconds if seconds else 0.0
    if json:
        emit(
            {
                "finished": ended.finished,
                "rows": ended.rows,
                "failed": ended.failed,
                "resumed_after": ended.begun,
                "seconds": round(seconds, 3),
                "rows_per_second": round(rate, 1),
                **asdict(job.scoring),
            }
        )
        return
    told = f"{ended.rows:,} rows, {ended.failed:,} failed, {seconds:.1f} s, {rate:,.0f} rows/s"
    if ended.finished:
        say(f"[bold]{escape(job.scoring.output)}[/]: {told}")
    else:
        note(f"[yellow]stopped[/] after {told}; the same command goes on from there")
