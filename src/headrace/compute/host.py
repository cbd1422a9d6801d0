"""A child process that answers calls over a socket: started confined, restarted when it dies, ended with us.

Called by pool.py. Decides how the child is confined (environment, confine.py, its own process group), when it is
started again, what becomes of calls meanwhile (those under way fail, later ones wait for the restart up to a bound),
and which messages go through shared memory. Ignores what the calls mean.

The child gets one end of a socket pair as `--fd N`: there is no path that another process could connect to; and on
Linux `--areas IN,OUT`, two memory files. It ends when its standard input does, so it dies with us also when we are
killed.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import socket
import tempfile
from asyncio import Future
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from headrace.base.log import fields
from headrace.compute import frames
from headrace.compute.confine import Limits, confined
from headrace.compute.frames import BadFrame, Blob, Header, Message, Splitter
from headrace.compute.job import scrubbed_environment
from headrace.compute.logfile import last_line, rotate
from headrace.compute.shared import SIZE, Area, copies, extent, fill, make_area
from headrace.types.errors import ModelFailed, ModelRefused, TooLarge, Unavailable

log = logging.getLogger("headrace.compute")

SHARED_FROM = 256 << 10  # bytes of one message; measured, see docs/design/data-plane.md
THREAD_FROM = 4 << 20  # bytes whose copying would hold the event loop for a millisecond
_ROTATE_EVERY = 1000  # calls
_READY = 0  # the number of the child's first words


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimits:
    memory_mb: int = 8192  # of address space, which libraries reserve more of than they use
    network: bool = False
    several: bool = False  # it takes several calls at once, asks back, and answers in pieces; nothing in shared memory
    threads: int = 1  # that each numeric library may start
    nice: int = 5  # behind the event loop that feeds it
    open_files: int = 1024
    start_seconds: float = 120.0  # until the child says that it is ready
    call_seconds: float = 120.0  # a call that lasts longer is taken for stuck, and the child is killed
    wait_seconds: float = 10.0  # that a call waits for a child that is coming back
    stop_seconds: float = 2.0
    grace_seconds: float = 2.0  # that a call may go on for when nobody waits for it: a restart costs more
    first_pause: float = 0.1  # before a restart; doubles up to
    longest_pause: float = 10.0


Hear = Callable[[Message], None]


class _Line(asyncio.Protocol):
    """Our end of the socket pair: answers by the number of their call. `asked` hears what the child itself wants."""

    def __init__(self, asked: Hear) -> None:
        self.waiting: dict[int, Future[Message]] = {}
        self.hearing: dict[int, Hear] = {}  # pieces of an answer, by the number of its call
        self._asked = asked
        self.ended = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self._splitter = Splitter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._splitter.feed(data):
                self._heard(message)
        except BadFrame as error:
            log.warning("a model host sent what is no frame", extra=fields(error=str(error)))
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _heard(self, message: Message) -> None:
        header = message[0]
        number = header.get("id", _READY)
        if "ask" in header:
            self._asked(message)
        elif header.get("more"):
            self.hearing.get(number, _nobody)(message)
        elif (answer := self.waiting.get(number)) is not None and not answer.done():
            answer.set_result(message)


@dataclass(slots=True)
class _Life:
    """One process, from its start to its death."""

    process: Process
    line: _Line
    incoming: Area | None  # what we write; the child's answers come by the other one
    outgoing: Area | None
    held: bool = False  # the child still looks at what we wrote last
    doomed: bool = False  # killed, which we shall hear of in a moment
    abandoned: bool = False  # it works on a call that nobody waits for


class HostProcess:
    """`argv` gets `--fd N` appended. `on_restart` hears why the child before died; `on_up` that it can be called."""

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
        self.on_up: Callable[[HostProcess], None] = lambda host: None
        self.on_ask: Callable[[HostProcess, Message], None] = lambda host, message: None
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

    @property
    def up(self) -> bool:
        life = self._life
        return life is not None and not (life.doomed or life.line.ended.is_set() or self._stop.is_set())

    async def start(self) -> Header:
        """The child's first words. Raises ModelRefused when it cannot get ready."""
        life, words = await self._begin()
        self._keeper = asyncio.create_task(self._keep(life), name=f"host {self.name}")
        return words

    async def call(
        self, header: Header, blobs: Sequence[Blob] = (), *, seconds: float = float("inf"), hear: Hear | None = None
    ) -> Message:
        """Raises ModelFailed when the child dies or is stuck, Unavailable when none comes up in time. A call that lasts
        longer than `seconds` costs the child its life: what runs in it can be ended in no other way. `hear` gets the
        pieces of the answer that come before its end."""
        life = await self._living()
        number = next(self._numbers)
        if hear is not None:
            life.line.hearing[number] = hear
        if number % _ROTATE_EVERY == 0:  # a model may print at every call
            await asyncio.to_thread(rotate, self._log_path)
        answer: Future[Message] = asyncio.get_running_loop().create_future()
        life.line.waiting[number] = answer
        seconds = min(seconds, self._limits.call_seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._send(life, {**header, "id": number}, blobs)
                found = await _received(life, await answer)
        except TimeoutError:
            life.doomed = True
            _kill(life.process)
            raise ModelFailed(f"model host {self.name} was stuck for {seconds:.3g} s and was killed") from None
        finally:
            life.line.waiting.pop(number, None)
            life.line.hearing.pop(number, None)
            if answer.cancelled() or not answer.done():
                life.abandoned = True
                if self._limits.several:
                    self.tell({"op": "cancel", "id": number})
        return found

    def tell(self, header: Header, blobs: Sequence[Blob] = ()) -> None:
        """Without an answer; nothing when the child is away."""
        life = self._life
        if life is not None and life.line.transport is not None and not life.line.ended.is_set():
            life.line.transport.writelines(frames.pack(header, blobs))

    async def settle(self) -> None:
        """After a call was given up: what it left running ends within the grace, or the child does."""
        life = self._life
        if life is None or not life.abandoned:
            return
        life.abandoned = False
        with suppress(ModelFailed):
            await self.call({"op": "none"}, seconds=self._limits.grace_seconds)

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

    async def _send(self, life: _Life, header: Header, blobs: Sequence[Blob]) -> None:
        transport = life.line.transport
        if transport is None or life.line.ended.is_set():
            return  # it died a moment ago: the keeper will say so to this call too
        sizes = [len(blob) for blob in blobs]
        size = extent(sizes)
        alone = len(life.line.waiting) == 1  # the area belongs to one call at a time
        if size > SIZE:
            raise TooLarge(f"inputs of {size} bytes; a model host takes at most {SIZE}", field="inputs")
        if alone and life.outgoing is not None:
            header["shared_from"] = SHARED_FROM
        if sum(sizes) < SHARED_FROM or life.incoming is None or life.held or not alone:
            transport.writelines(frames.pack(header, blobs))
            return
        places = life.incoming.places(sizes)
        if size < THREAD_FROM:
            fill(places, blobs)
        else:
            await asyncio.to_thread(fill, places, blobs)
        transport.write(frames.pack_shared(header, sizes))

    # one life

    async def _begin(self) -> tuple[_Life, Header]:
        life = self._newborn = await self._spawn()
        ready = life.line.waiting[_READY] = asyncio.get_running_loop().create_future()
        ended = asyncio.ensure_future(life.line.ended.wait())
        try:
            await asyncio.wait((ready, ended), timeout=self._limits.start_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        del life.line.waiting[_READY]
        if not ready.done():
            reason = "it ended before it was ready" if life.line.ended.is_set() else "it was not ready in time"
            code = await self._end(life, reason)
            raise ModelRefused(f"model host {self.name}: {reason} ({_exit(code)}): {last_line(self._log_path)}")
        words, _ = ready.result()
        if "error" in words:
            await self._end(life, "it refused")
            raise ModelRefused(f"model host {self.name}: {words['error']}")
        self._life, self._newborn = life, None
        self._up.set()
        return life, words

    async def _spawn(self) -> _Life:
        ours, theirs = socket.socketpair()
        incoming, outgoing = (None, None) if self._limits.several else (make_area(), make_area())
        areas = [area.fd for area in (incoming, outgoing) if area is not None]
        argv = [*self._argv, *(["--areas", ",".join(map(str, areas))] if areas else []), "--fd", str(theirs.fileno())]
        limits = Limits(
            memory_mb=self._limits.memory_mb,
            network=self._limits.network,
            nice=self._limits.nice,
            open_files=self._limits.open_files,
        )
        try:
            with self._log_path.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *confined(argv, limits),
                    stdin=PIPE,
                    stdout=output,
                    stderr=output,
                    env=scrubbed_environment(self._home.name, threads=self._limits.threads) | self._env,
                    cwd=self._home.name,
                    pass_fds=(theirs.fileno(), *areas),
                    start_new_session=True,
                )
        finally:
            theirs.close()
        loop = asyncio.get_running_loop()
        _, line = await loop.create_unix_connection(lambda: _Line(lambda m: self.on_ask(self, m)), sock=ours)
        return _Life(process, line, incoming, outgoing)

    async def _keep(self, life: _Life) -> None:
        """Wait until the child dies; then bring up the next one, more slowly each time in a row."""
        loop, pause = asyncio.get_running_loop(), self._limits.first_pause
        while True:
            began = loop.time()
            await life.line.ended.wait()
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
            self.on_up(self)

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

    async def _end(self, life: _Life, reason: str) -> int:
        """Close its standard input, give it a moment, then kill its group; calls that wait for it fail."""
        life.line.close()
        if life.process.stdin is not None:
            life.process.stdin.close()
        try:
            async with asyncio.timeout(self._limits.stop_seconds):
                code = await life.process.wait()
        except TimeoutError:
            _kill(life.process)
            code = await life.process.wait()
        _kill(life.process)  # what it may have started
        for answer in life.line.waiting.values():
            if not answer.done():
                answer.set_exception(ModelFailed(f"model host {self.name}: {reason} ({_exit(code)})"))
        for area in (life.incoming, life.outgoing):
            if area is not None:
                area.close()
        life.incoming = life.outgoing = None
        if self._life is life:
            self._life = None
        if self._newborn is life:
            self._newborn = None
        return code


async def _received(life: _Life, message: Message) -> Message:
    """With its blobs, wherever they lie. Memory that one huge call has taken is given back."""
    header, blobs = message
    life.held = bool(header.pop("held", False))
    if sizes := header.pop("shared", None):
        if life.outgoing is None:
            raise ModelFailed("the model host died with its answer")
        places, large = life.outgoing.places(sizes), extent(sizes) >= THREAD_FROM
        blobs = await asyncio.to_thread(copies, places) if large else copies(places)
    if life.outgoing is not None:
        life.outgoing.trim()
    if life.incoming is not None and not life.held:
        life.incoming.trim()
    return header, blobs


def _nobody(message: Message) -> None:
    """Waits for it any more."""


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
