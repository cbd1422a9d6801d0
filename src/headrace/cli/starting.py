"""What a person sees while the platform starts and runs.

Called by `headrace up` as the Report of cli/platform.py. On a terminal one line per part, with a spinner and seconds;
elsewhere one line per event. With `--json` one document when everything is ready, and nothing else.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from headrace.cli.options import CONTROL, DATA, LLM, MLFLOW
from headrace.cli.platform import Report
from headrace.cli.show import emit, err, note, say
from headrace.compute.supervise import ChildStatus, State

TITLES = {DATA: "data plane", CONTROL: "control plane", MLFLOW: "MLflow", LLM: "local LLM"}


class Starting(Report):
    def __init__(self, home: Path, *, json: bool) -> None:
        self._home, self._json = home, json
        self._urls: dict[str, str] = {}
        self._is_ready = False
        self._tasks: dict[str, TaskID] = {}
        console = err()
        columns = (SpinnerColumn(finished_text="[green]✓[/]"), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bars = Progress(*columns, console=console) if console.is_terminal and not json else None

    def located(self, urls: dict[str, str], swept: int) -> None:
        self._urls = urls
        if swept:
            note(f"[yellow]ended {swept} processes that a killed Headrace had left on this folder[/]")
        if self._bars is not None:
            self._bars.start()

    def changed(self, status: ChildStatus) -> None:
        if self._bars is not None and not self._is_ready:
            self._draw(self._bars, status)
        elif not self._json:
            note(f"[dim]{time.strftime('%H:%M:%S')}[/]  {escape(sentence(status))}")

    def ready(self, seconds: float) -> None:
        self._is_ready = True
        self.close()
        if self._json:
            emit({"pid": os.getpid(), "home": str(self._home), "urls": self._urls, "seconds": round(seconds, 1)})
        else:
            say(f"[bold green]ready[/] after {seconds:.1f} s, on {escape(str(self._home))}")
            say(where(self._urls))
            say("[dim]Ctrl-C stops it; headrace status, headrace logs -f from another terminal[/]")

    def stopping(self) -> None:
        self.close()
        if not self._json:
            note("stopping: requests in flight are answered first (Ctrl-C again to stop at once)")

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()

    def _draw(self, bars: Progress, status: ChildStatus) -> None:
        if status.name not in self._tasks:
            self._tasks[status.name] = bars.add_task(status.name, total=1)
        done = status.state is State.READY
        bars.update(self._tasks[status.name], description=escape(sentence(status)), completed=int(done))


def sentence(status: ChildStatus) -> str:
    """`MLflow is ready (pid 812, 5.2 s)`."""
    title = title_of(status.name)
    match status.state:
        case State.READY:
            return f"{title} is ready (pid {status.pid}, {status.ready_seconds:.1f} s)"
        case State.STARTING:
            return f"{title} is starting" + (f" for the {_ordinal(status.restarts + 1)} time" * bool(status.restarts))
        case State.WAITING:
            return f"{title} {status.detail}"
        case State.STOPPING:
            return f"{title} is stopping"
        case State.STOPPED:
            return f"{title} has stopped" + (f" ({status.detail})" if status.detail else "")


def title_of(name: str) -> str:
    """`data-2` is data plane 2."""
    kind, _, number = name.partition("-")
    return f"{TITLES.get(kind, kind)} {number}".rstrip()


def where(urls: dict[str, str]) -> str:
    return "\n".join(
        [
            f"  applications call   {urls[DATA]}     [dim]API: {urls[DATA]}/docs[/]",
            f"  the console is at   {urls[CONTROL]}",
            f"  MLflow is at        {urls[MLFLOW]}     [dim]export MLFLOW_TRACKING_URI={urls[MLFLOW]}[/]",
            *([f"  the local LLM is at {urls[LLM]}"] if LLM in urls else []),
        ]
    )


def _ordinal(number: int) -> str:
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10 * (number % 100 not in (11, 12, 13)), 'th') }"
