"""Keeps one child process for each piece of work that has not ended.

Called by batch/jobs.py and flywheel/turns.py with every tick: they know what is wanted (their database does) and how it
begins. Decides how many run at once, that a process of what is not wanted any more is ended, and that what died begins
again while it is wanted. Ignores how often: whoever begins it counts.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

AT_ONCE = 2
STOP_SECONDS = 5.0

Work = TypeVar("Work")


class Keeper(Generic[Work]):
    """`begin` starts a process for a piece of work, or returns None when it has ended meanwhile."""

    def __init__(self, begin: Callable[[Work], subprocess.Popen[bytes] | None]) -> None:
        self._begin = begin
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def tick(self, wanted: Mapping[str, Work]) -> None:
        for name, process in list(self._processes.items()):
            if process.poll() is not None:
                del self._processes[name]
            elif name not in wanted:
                process.terminate()
        for name, work in wanted.items():
            if name not in self._processes and len(self._processes) < AT_ONCE:
                begun = self._begin(work)
                if begun is not None:
                    self._processes[name] = begun

    def close(self) -> None:
        """The work goes on when somebody keeps it again."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
