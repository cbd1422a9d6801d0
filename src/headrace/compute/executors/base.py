"""What an executor is: it runs one program in one folder, to its end. Called by flywheel.steps through registry.py.

A task's id is the same whenever the same work is asked for, so that an executor which keeps its work elsewhere finds it
again after we were killed. Files are exchanged in the folder; the program's lines come as they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Protocol

OnLine = Callable[[str], None]
TAIL = 2_000  # characters of what a program wrote that an error quotes at most
OUT = "out"  # what a program makes lies in this folder of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """`folder` is the program's current one; it reads there and writes below `out`. `argv[0]` may be "python"."""

    id: str
    argv: tuple[str, ...]
    folder: Path
    timeout_seconds: float
    memory_mb: int
    cpus: int = 1
    gpus: int = 0
    network: bool = False
    env: Mapping[str, str] = field(default_factory=dict)


class Stopped(BaseException):
    """The task was ended because `stop` was set. No Exception: it is not the task that went wrong, and whoever keeps
    what came of a step must not keep this."""


class Executor(Protocol):
    def run(self, task: Task, *, on_line: OnLine, stop: Event) -> None:
        """Returns when the program has ended well. Raises ModelFailed when it has not, Stopped, and UpstreamError or
        Unavailable when the place where it should run does not answer."""

    def forget(self, task: Task) -> None:
        """Ends it, where it may still run, for good: nobody will ask for it again."""


def tail_of(text: str) -> str:
    kept = text.strip()[-TAIL:]
    return f": {kept}" if kept else ""
