"""A task as a child process on this machine, under the limits of confine.py: no secrets, no network unless asked for.

It dies with us, and a new one begins from what it left in its folder: a program that keeps checkpoints there goes on.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from threading import Event

from headrace.compute.confine import Limits, confined
from headrace.compute.executors.base import OnLine, Stopped, Task, tail_of
from headrace.compute.job import FILE_MB, NICE, scrubbed_environment
from headrace.types.errors import BadInput, ModelFailed

LOOK_SECONDS = 0.2  # how soon a stop is heard
KEPT = 8_000  # characters of its output, for the error


class ProcessExecutor:
    def run(self, task: Task, *, on_line: OnLine, stop: Event) -> None:
        with tempfile.TemporaryDirectory(prefix="headrace-task-") as home:
            child = _start(task, home)
            output = _Output(on_line)
            try:
                late = _follow(child, output, deadline=time.monotonic() + task.timeout_seconds, stop=stop)
            finally:
                _kill_group(child)
        if stop.is_set():
            raise Stopped
        if late or child.returncode:
            raise ModelFailed(_cause(task, child.returncode, late=late) + tail_of(output.kept))

    def forget(self, task: Task) -> None:
        """It has died with the process that ran it."""


def _start(task: Task, home: str) -> subprocess.Popen[bytes]:
    argv = (sys.executable, *task.argv[1:]) if task.argv[0] == "python" else task.argv
    limits = Limits(
        memory_mb=task.memory_mb,
        nice=NICE,
        network=task.network,
        cpu_seconds=int(task.timeout_seconds * (task.cpus + 1)) + 1,
        file_mb=FILE_MB,
    )
    try:
        return subprocess.Popen(
            confined(argv, limits),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=scrubbed_environment(home, threads=task.cpus) | dict(task.env),
            cwd=task.folder,
            start_new_session=True,
        )
    except OSError as error:
        raise BadInput(f"{argv[0]!r} cannot be started: {error.strerror}", field="command") from error


class _Output:
    def __init__(self, on_line: OnLine) -> None:
        self.kept = ""
        self._on_line, self._rest = on_line, b""

    def add(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._tell(line)

    def end(self) -> None:
        if self._rest:
            self._tell(self._rest)
        self._rest = b""

    def _tell(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        self.kept = (self.kept + text + "\n")[-KEPT:]
        self._on_line(text)


def _follow(child: subprocess.Popen[bytes], output: _Output, *, deadline: float, stop: Event) -> bool:
    """Until it has ended; True when it was too late and still runs."""
    assert child.stdout is not None
    with selectors.DefaultSelector() as selector, child.stdout:
        selector.register(child.stdout, selectors.EVENT_READ)
        while not stop.is_set():
            if time.monotonic() > deadline:
                return True
            if selector.select(LOOK_SECONDS):
                data = os.read(child.stdout.fileno(), 1 << 16)
                if not data:
                    break
                output.add(data)
            elif child.poll() is not None:  # it has ended; something that it started holds the pipe
                break
        output.end()
    while not stop.is_set() and child.poll() is None and time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            child.wait(LOOK_SECONDS)
    return child.poll() is None and not stop.is_set()


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """Also what the program started: its group outlives it."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _cause(task: Task, code: int | None, *, late: bool) -> str:
    name = " ".join(task.argv)
    if late:
        return f"{name!r} took longer than {task.timeout_seconds:g} s and was stopped"
    if code is not None and code < 0:
        return f"{name!r} was killed by {signal.Signals(-code).name} (its memory limit is {task.memory_mb} MiB)"
    return f"{name!r} ended with status {code} (its memory limit is {task.memory_mb} MiB)"
