"""Programs that are kept running: started together, restarted with back-off, stopped in order.

Called by `headrace up` with the list of children; it does not know what they are for.
Decides when a child counts as ready, how long to wait before the next start, and when a stop is no longer asked for but
forced. Writes every change to a state file, which `headrace status` reads.

A child that dies is started again, for ever: 0.2 s, 0.4 s … 30 s apart, from the beginning after a healthy minute.
A supervisor that dies takes its children with it (leash.py); what survives that is ended by the next one (sweep.py).
Run it in the main thread: the kernel watches the thread that started a child.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from headrace.base.files import write_atomic
from headrace.compute import leash, logfile
from headrace.compute.ports import unix_address
from headrace.types.errors import Unavailable

MARK = "HEADRACE_SUPERVISED"  # in the environment of every child: the state file of its supervisor
FIRST_DELAY, LAST_DELAY = 0.2, 30.0
HEALTHY_SECONDS = 60.0
TRIES = 5  # of a vital child that was never ready; then the start has failed
_PROBE_SECONDS = 0.05
_PROBE_TIMEOUT = 2.0
_ROTATE_SECONDS = 5.0


class State(StrEnum):
    STARTING = "starting"  # the process runs; it has not answered yet
    READY = "ready"  # it has answered
    WAITING = "waiting"  # it ended; the next start comes after the back-off
    STOPPING = "stopping"  # it was asked to end and finishes what it has in hand
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One program. Ready when `ready_url` answers 200. Children of a lower `wave` are stopped before those of a higher.

    `vital`: without it there is nothing to keep running, so a start in which it never gets ready is given up.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    ready_url: str
    env: Mapping[str, str] = field(default_factory=dict)
    fds: tuple[int, ...] = ()
    cwd: Path | None = None
    stop_seconds: float = 10.0
    wave: int = 0
    vital: bool = False
    nice: int = 0  # how far it stands back for a processor


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStatus:
    name: str
    state: State = State.STOPPED
    pid: int = 0  # 0: there is no process now
    started: float = 0.0  # seconds since the epoch
    ready_seconds: float = 0.0  # from start to ready, the last time
    restarts: int = 0
    detail: str = ""  # how it ended last, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorState:
    """The state file. `ready` is true from the first moment when all children were ready at once."""

    pid: int
    started: float
    ready: bool = False
    children: tuple[ChildStatus, ...] = ()


def read_state(path: Path) -> SupervisorState | None:
    """None if there is no state file, or one that is not ours to read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SupervisorState)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


class Supervisor:
    def __init__(
        self,
        children: tuple[Child, ...],
        *,
        state_file: Path,
        on_change: Callable[[ChildStatus], None] = lambda _: None,
    ) -> None:
        self.ready = asyncio.Event()
        self._children = children
        self._file = state_file
        self._on_change = on_change
        self._statuses = {child.name: ChildStatus(name=child.name) for child in children}
        self._processes: dict[str, Process] = {}
        self._started = time.time()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, then until all children are gone. Raises Unavailable if a vital child cannot start."""
        keepers = [asyncio.create_task(self._keep(child)) for child in self._children]
        others = [asyncio.create_task(stop.wait()), asyncio.create_task(self._rotate())]
        try:
            done, _ = await asyncio.wait([*others, *keepers], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises what ended it, if it was not `stop`
        finally:
            self._stopping.set()
            await self._stop()
            for task in others:
                task.cancel()
            await asyncio.gather(*others, *keepers, return_exceptions=True)

    def hurry(self) -> None:
        """Stop waiting for children that were asked to end: kill them."""
        self._hurry.set()

    async def _keep(self, child: Child) -> None:
        failures = 0
        while not self._stopping.is_set():
            process = await self._start(child)
            if self._stopping.is_set():  # meanwhile
                process.terminate()
            began = time.monotonic()
            probe = asyncio.create_task(self._probe(child, began))
            code = await process.wait()
            probe.cancel()
            healthy = self._statuses[child.name].state is State.READY
            _kill_group(process.pid)  # what it started and left behind, such as MLflow's worker
            self._processes.pop(child.name)
            if self._stopping.is_set():
                break
            failures = 1 if healthy and time.monotonic() - began >= HEALTHY_SECONDS else failures + 1
            await self._back_off(child, failures=failures, ended=how_ended(code))
        status = self._statuses[child.name]
        detail = "" if status.state is State.WAITING else status.detail  # there is no next start
        self._set(child, state=State.STOPPED, pid=0, detail=detail)

    async def _start(self, child: Child) -> Process:
        child.log.parent.mkdir(parents=True, exist_ok=True)
        leashed = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), str(child.nice), *child.argv]
        with child.log.open("ab") as log:  # appended to, so that a rotation may truncate it
            process = await asyncio.create_subprocess_exec(
                *leashed,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                env={**child.env, MARK: str(self._file)},
                pass_fds=child.fds,
                cwd=child.cwd,
                start_new_session=True,  # Ctrl-C in a terminal is for the supervisor alone
            )
        self._processes[child.name] = process
        self._set(child, state=State.STARTING, pid=process.pid, started=time.time())
        return process

    async def _probe(self, child: Child, began: float) -> None:
        while not await answers(child.ready_url):  # noqa: ASYNC110 -- another process; there is nothing to wait on
            await asyncio.sleep(_PROBE_SECONDS)
        self._set(child, state=State.READY, ready_seconds=round(time.monotonic() - began, 2), detail="")
        if all(status.state is State.READY for status in self._statuses.values()) and not self.ready.is_set():
            self.ready.set()
            self._write()

    async def _back_off(self, child: Child, *, failures: int, ended: str) -> None:
        status = self._statuses[child.name]
        if child.vital and failures >= TRIES and not status.ready_seconds:
            raise Unavailable(
                f"{child.name} {ended}, {failures} times: {logfile.last_line(child.log)}", hint=f"see {child.log}"
            )
        delay = back_off(failures)
        if ended.startswith("exited"):  # by itself, so it may have said why
            ended += f" ({logfile.last_line(child.log)})"
        detail = f"{ended}; next start in {delay:g} s"
        self._set(child, state=State.WAITING, pid=0, restarts=status.restarts + 1, detail=detail)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay)

    async def _rotate(self) -> None:
        while True:
            await asyncio.sleep(_ROTATE_SECONDS)
            for child in self._children:
                logfile.rotate(child.log)

    async def _stop(self) -> None:
        for wave in sorted({child.wave for child in self._children}):
            await asyncio.gather(*(self._end(child) for child in self._children if child.wave == wave))

    async def _end(self, child: Child) -> None:
        process = self._processes.get(child.name)
        if process is None:
            return
        self._set(child, state=State.STOPPING)
        with suppress(ProcessLookupError):
            process.terminate()
        hurry = asyncio.create_task(self._hurry.wait())
        gone = asyncio.create_task(process.wait())
        await asyncio.wait([gone, hurry], timeout=child.stop_seconds, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not gone.done():
            self._set(child, detail=f"killed: it had not ended {child.stop_seconds:g} s after SIGTERM")
        _kill_group(process.pid)
        await gone

    def _set(self, child: Child, **changes: object) -> None:
        status = replace(self._statuses[child.name], **changes)  # type: ignore[arg-type]  # mypy cannot type **changes
        if status != self._statuses[child.name]:
            self._statuses[child.name] = status
            self._write()
            self._on_change(status)

    def _write(self) -> None:
        state = SupervisorState(
            pid=os.getpid(),
            started=self._started,
            ready=self.ready.is_set(),
            children=tuple(self._statuses.values()),
        )
        write_atomic(self._file, msgspec.json.encode(state))


def back_off(failures: int) -> float:
    """Seconds before the next start, after so many failures in a row."""
    return float(min(LAST_DELAY, FIRST_DELAY * 2 ** min(failures - 1, 16)))


def how_ended(code: int) -> str:
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


async def answers(url: str) -> bool:
    """Whether a GET of `url` is answered 200 within two seconds. `unix:/path/to/socket#/health` asks a socket."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return await _answers(asyncio.open_unix_connection(unix_address(Path(unquote(parts.path)))), parts.fragment)
    return await _answers(asyncio.open_connection(parts.hostname, parts.port), parts.path or "/", host=parts.netloc)


async def _answers(
    connection: Coroutine[Any, Any, tuple[StreamReader, StreamWriter]], target: str, *, host: str = "local"
) -> bool:
    request = f"GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT):
            reader, writer = await connection
            try:
                writer.write(request.encode())
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return line.split()[1:2] == [b"200"]


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
