"""A program that runs beside the platform, under a supervisor of its own: the local LLM, the chat application.

Called by the commands that have one (llm.py, chat.py). Decides what holds for all of them: one a data folder, by a
lock; kept running until Ctrl-C, SIGTERM or `stop`; its state in RUN/NAME.json, its log in LOGS/NAME.log. In the
background it is the same command in a process of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import typer
from rich.markup import escape

from headrace.base.settings import Settings
from headrace.cli.show import duration, emit, note, progress, say
from headrace.cli.starting import sentence
from headrace.cli.status import NOT_RUNNING
from headrace.compute.lock import Holder, HomeLock, holder
from headrace.compute.logfile import last_line
from headrace.compute.supervise import Child, ChildStatus, State, Supervisor, read_state
from headrace.compute.sweep import sweep
from headrace.types.errors import Conflict, Unavailable

START_SECONDS = 300.0
_STOP_SECONDS = 20.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """`name` is also that of its command."""

    name: str
    settings: Settings

    @property
    def lock(self) -> Path:
        return self.settings.run / f"{self.name}.lock"

    @property
    def state(self) -> Path:
        return self.settings.run / f"{self.name}.json"

    @property
    def log(self) -> Path:
        return self.settings.logs / f"{self.name}.log"

    def holder(self) -> Holder | None:
        return holder(self.lock)

    def refuse_second(self) -> None:
        if (other := self.holder()) is not None:
            raise Conflict(
                f"{self.name} already runs on {str(self.settings.home)!r}: {other.sentence()}",
                field="home",
                hint=f"stop it with `headrace {self.name} stop`",
            )


def run(beside: Beside, make: Callable[[ExitStack], tuple[Child, str]], *, json: bool = False) -> None:
    """Until a signal comes. `make` is asked once the folder is ours: the program, and the URL that people open; what it
    enters into the stack is held until the end."""
    beside.refuse_second()
    lock = HomeLock(beside.lock)
    me = Holder(pid=os.getpid(), started=time.time())
    lock.acquire(me)
    with ExitStack() as held:
        held.callback(lock.release)
        sweep(beside.state, patience=_STOP_SECONDS)
        child, url = make(held)
        lock.describe(Holder(pid=me.pid, started=me.started, urls={beside.name: url}))
        asyncio.run(_supervise(beside, child, url, json=json))


async def _supervise(beside: Beside, child: Child, url: str, *, json: bool) -> None:
    def changed(status: ChildStatus) -> None:
        if not json:
            note(f"[dim]{time.strftime('%H:%M:%S')}[/]  {escape(sentence(status))}")

    supervisor = Supervisor((child,), state_file=beside.state, on_change=changed)
    stop = asyncio.Event()

    def asked() -> None:
        supervisor.hurry() if stop.is_set() else stop.set()

    async def announce() -> None:
        await supervisor.ready.wait()
        if json:
            emit({"pid": os.getpid(), "url": url})
        else:
            say(f"[bold green]ready[/] at {url}")
            say(f"[dim]Ctrl-C stops it; headrace {beside.name} status from another terminal[/]")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, asked)
    telling = asyncio.create_task(announce())
    try:
        await supervisor.run(stop)
    finally:
        telling.cancel()


def start_behind(beside: Beside, arguments: Sequence[str] = (), *, json: bool = False) -> None:
    """`headrace NAME start` in a process of its own; returns when it is ready. Raises what it said when it is not."""
    beside.refuse_second()
    beside.settings.logs.mkdir(parents=True, exist_ok=True)
    log = beside.settings.logs / f"{beside.name}-supervisor.log"
    with log.open("ab") as file, progress(f"starting {beside.name}", quiet=json) as tell:
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace.cli.main", beside.name, "start", *arguments],
            env=os.environ | beside.settings.environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        while not _is_ready(beside, process.pid):
            if process.poll() is not None:
                raise Unavailable(last_line(log).removeprefix("error: "), hint=f"see {beside.log}")
            if tell.seconds > START_SECONDS:
                process.terminate()
                process.wait(_STOP_SECONDS)
                raise Unavailable(f"{beside.name} is not ready after {START_SECONDS:.0f} s", hint=f"see {beside.log}")
            time.sleep(_LOOK_SECONDS)
        seconds = tell.seconds
    who = beside.holder()
    url = who.urls.get(beside.name, "") if who else ""
    if json:
        emit({"pid": process.pid, "url": url, "seconds": round(seconds, 1)})
    else:
        say(f"[bold green]ready[/] after {seconds:.1f} s at {url} (pid {process.pid})")


def _is_ready(beside: Beside, pid: int) -> bool:
    state = read_state(beside.state)
    return state is not None and state.pid == pid and state.ready


def stop(beside: Beside, *, json: bool = False) -> None:
    who = beside.holder()
    if who is not None and who.pid > 0:
        os.kill(who.pid, signal.SIGTERM)
        deadline = time.monotonic() + 2 * _STOP_SECONDS
        while beside.holder() is not None:
            if time.monotonic() > deadline:
                raise Unavailable(f"{beside.name} (pid {who.pid}) does not end", hint=f"kill -9 {who.pid}")
            time.sleep(_LOOK_SECONDS)
    if json:
        emit({"stopped": who is not None, "pid": who.pid if who else 0})
    else:
        say("stopped" if who else f"{beside.name} does not run on {escape(str(beside.settings.home))}")


def look(beside: Beside) -> dict[str, Any]:
    """What `status` tells, as one document."""
    who, state = beside.holder(), read_state(beside.state)
    if who is None or state is None or state.pid != who.pid:
        return {"running": False, "ready": False, "home": str(beside.settings.home)}
    child = state.children[0]
    return {
        "running": True,
        "ready": child.state is State.READY,
        "home": str(beside.settings.home),
        "url": who.urls.get(beside.name, ""),
        "pid": child.pid,
        "uptime_seconds": round(time.time() - child.started, 1) if child.pid else 0.0,
        "restarts": child.restarts,
        "rss_mb": rss_mb(child.pid),
        "detail": child.detail,
    }


def tell_status(found: dict[str, Any], name: str, *, json: bool, extra: Sequence[str] = ()) -> None:
    """Exit status 3 when it does not run."""
    if json:
        emit(found)
    elif found["running"]:
        state = "[bold green]ready[/]" if found["ready"] else f"[bold yellow]not ready[/] {escape(found['detail'])}"
        say(f"{state} at {found['url']}, up {duration(found['uptime_seconds'])}, pid {found['pid']}")
        say(f"{found['rss_mb']:.0f} MB of memory, {found['restarts']} restarts")
        for line in extra:
            say(line)
    else:
        say(f"{name} does not run on {escape(found['home'])}; start it with [bold]headrace {name}[/]")
    if not found["running"]:
        raise typer.Exit(NOT_RUNNING)


def rss_mb(pid: int) -> float:
    try:
        process = psutil.Process(pid) if pid else None
        return round(process.memory_info().rss / 1e6, 1) if process else 0.0
    except psutil.Error:
        return 0.0
