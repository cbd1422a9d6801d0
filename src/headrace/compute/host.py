"""A child process that answers calls over a socket: started confined, restarted when it dies, ended with us.

Called by serving/runtimes/pyfunc.py. Decides how the child is confined (environment, memory, no core dumps, its own
process group), when it is started again, and what becomes of calls meanwhile: those under way fail, later ones wait for
the restart up to a bound. Ignores what the calls mean.

The child gets one end of a socket pair as `--fd N`: there is no path that another process could connect to. It ends
when its standard input does, so it dies with us also when we are killed.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
from asyncio import Future, StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from headrace.base.log import fields
from headrace.compute import frames
from headrace.compute.frames import BadFrame, Blob, Header
from headrace.compute.job import scrubbed_environment
from headrace.compute.logfile import last_line, rotate
from headrace.types.errors import ModelFailed, ModelRefused, Unavailable

log = logging.getLogger("headrace.compute")

_ROTATE_EVERY = 1000  # calls

Reply = tuple[Header, list[memoryview]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimits:
    memory_mb: int = 8192  # of address space, which libraries reserve more of than they use
    open_files: int = 1024
    start_seconds: float = 120.0  # until the child says that it is ready
    call_seconds: float = 120.0  # a call that lasts longer is taken for stuck, and the child is killed
    wait_seconds: float = 10.0  # that a call waits for a child that is coming back
    stop_seconds: float = 2.0
    first_pause: float = 0.1  # before a restart; doubles up to
    longest_pause: float = 10.0


@dataclass(slots=True)
class _Life:
    """One process, from its start to its death."""

    process: Process
    reader: StreamReader
    writer: StreamWriter
    waiting: dict[int, Future[Reply]] = field(default_factory=dict)


class HostProcess:
    """`argv` gets `--fd N` appended. `on_restart` hears why the child before died."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        limits: HostLimits | None = None,
        on_restart: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self.name = name
        self.restarts = 0
        self._argv = list(argv)
        self._log_path = log_path
        self._env = dict(env or {})
        self._limits = limits or HostLimits()
        self._on_restart = on_restart
        self._numbers = itertools.count(1)
        self._home = tempfile.TemporaryDirectory(prefix="headrace-host-", ignore_cleanup_errors=True)
        self._life: _Life | None = None
        self._newborn: _Life | None = None  # started, not ready yet
        self._up = asyncio.Event()
        self._stop = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._life.process.pid if self._life else None

    async def start(self) -> Header:
        """The child's first words. Raises ModelRefused when it cannot get ready."""
        life, words = await self._begin()
        self._keeper = asyncio.create_task(self._keep(life), name=f"host {self.name}")
        return words

    async def call(self, header: Header, blobs: Sequence[Blob] = ()) -> Reply:
        """Raises ModelFailed when the child dies or is stuck, Unavailable when none comes up in time."""
        life = await self._living()
        number = next(self._numbers)
        if number % _ROTATE_EVERY == 0:  # a model may print at every call
            await asyncio.to_thread(rotate, self._log_path)
        answer: Future[Reply] = asyncio.get_running_loop().create_future()
        life.waiting[number] = answer
        try:
            life.writer.writelines(frames.pack({**header, "id": number}, blobs))
            await life.writer.drain()
            async with asyncio.timeout(self._limits.call_seconds):
                return await answer
        except TimeoutError:
            _kill(life.process)
            raise ModelFailed(f"model host {self.name} was stuck for {self._limits.call_seconds:g} s") from None
        except (ConnectionError, RuntimeError) as error:
            raise ModelFailed(f"model host {self.name} died: {error}") from error
        finally:
            life.waiting.pop(number, None)

    async def close(self) -> None:
        """Nothing is cancelled: the child is ended, and whoever waits for it sees that."""
        self._stop.set()
        self._up.set()
        for life in (self._newborn, self._life):
            if life is not None:
                await self._end(life, "it was closed")
        if self._keeper is not None:
            await self._keeper
        self._home.cleanup()

    async def _living(self) -> _Life:
        if not self._up.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.wait_seconds):
                    await self._up.wait()
        if self._life is None or self._stop.is_set():
            state = "closed" if self._stop.is_set() else "not back yet"
            raise Unavailable(f"model host {self.name} is {state}", retry_after=1.0)
        return self._life

    # one life

    async def _begin(self) -> tuple[_Life, Header]:
        life = self._newborn = await self._spawn()
        try:
            async with asyncio.timeout(self._limits.start_seconds):
                words, _ = await frames.read(life.reader)
        except (TimeoutError, EOFError, ConnectionError, BadFrame) as error:
            reason = "it was not ready in time" if isinstance(error, TimeoutError) else "it ended before it was ready"
            code = await self._end(life, reason)
            raise ModelRefused(
                f"model host {self.name}: {reason} ({_exit(code)}): {last_line(self._log_path)}"
            ) from error
        if "error" in words:
            await self._end(life, "it refused")
            raise ModelRefused(f"model host {self.name}: {words['error']}")
        self._life, self._newborn = life, None
        self._up.set()
        return life, words

    async def _spawn(self) -> _Life:
        ours, theirs = socket.socketpair()
        try:
            with self._log_path.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *self._argv,
                    "--fd",
                    str(theirs.fileno()),
                    stdin=PIPE,
                    stdout=output,
                    stderr=output,
                    env=scrubbed_environment(self._home.name) | self._env,
                    cwd=self._home.name,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        finally:
            theirs.close()
        self._confine(process.pid)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        return _Life(process, reader, writer)

    def _confine(self, pid: int) -> None:
        """Set from outside: the child is still starting Python, and needs no cooperation."""
        if sys.platform != "linux":
            return
        with suppress(ProcessLookupError):
            for kind, value in (
                (resource.RLIMIT_AS, self._limits.memory_mb << 20),
                (resource.RLIMIT_NOFILE, self._limits.open_files),
                (resource.RLIMIT_CORE, 0),
            ):
                _, hard = resource.prlimit(pid, kind)
                top = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.prlimit(pid, kind, (top, top))

    async def _keep(self, life: _Life) -> None:
        """Hand out answers until the child dies; then bring up the next one, more slowly each time in a row."""
        loop, pause = asyncio.get_running_loop(), self._limits.first_pause
        while True:
            began = loop.time()
            await self._listen(life)
            if self._stop.is_set():
                return
            self._up.clear()
            reason = f"it died ({_exit(await self._end(life, 'it died'))})"
            log.warning("model host died", extra=fields(host=self.name, reason=reason))
            if loop.time() - began > self._limits.longest_pause:
                pause = self._limits.first_pause
            while (again := await self._once_more(pause)) is None:
                if self._stop.is_set():
                    return
                pause = min(pause * 2, self._limits.longest_pause)
            life = again
            self.restarts += 1
            self._on_restart(f"model host {self.name}: {reason}")

    async def _once_more(self, pause: float) -> _Life | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stop.wait()
                return None
        try:
            return (await self._begin())[0]
        except (ModelRefused, OSError) as error:
            log.error("model host did not come back", extra=fields(host=self.name, error=str(error)))
            return None

    async def _listen(self, life: _Life) -> None:
        with suppress(EOFError, ConnectionError, BadFrame):
            while True:
                header, blobs = await frames.read(life.reader)
                answer = life.waiting.get(header.get("id", 0))
                if answer is not None and not answer.done():
                    answer.set_result((header, blobs))

    async def _end(self, life: _Life, reason: str) -> int:
        """Close its standard input, give it a moment, then kill its group; calls that wait for it fail."""
        life.writer.close()
        if life.process.stdin is not None:
            life.process.stdin.close()
        try:
            async with asyncio.timeout(self._limits.stop_seconds):
                code = await life.process.wait()
        except TimeoutError:
            _kill(life.process)
            code = await life.process.wait()
        _kill(life.process)  # what it may have started
        with suppress(ConnectionError):
            await life.writer.wait_closed()
        for answer in life.waiting.values():
            if not answer.done():
                answer.set_exception(ModelFailed(f"model host {self.name}: {reason} ({_exit(code)})"))
        if self._life is life:
            self._life = None
        if self._newborn is life:
            self._newborn = None
        return code


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _exit(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
