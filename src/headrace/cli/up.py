"""`headrace up` and `headrace down`: a whole platform on this machine, and its end.

Called by people and scripts. The platform itself is cli/platform.py; this decides in which process it runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Annotated

import typer
from rich.markup import escape

from headrace.base.settings import Settings
from headrace.cli.local import with_port
from headrace.cli.options import Home, Json, running, settings_for, state_file
from headrace.cli.platform import run, stop_seconds
from headrace.cli.show import emit, progress, say
from headrace.cli.starting import Starting, where
from headrace.compute.logfile import last_line
from headrace.compute.supervise import State, read_state
from headrace.compute.sweep import sweep
from headrace.types.errors import Conflict, Unavailable

START_SECONDS = 120.0  # after which a start in the background has failed
_LOOK_SECONDS = 0.05


def up(
    home: Home = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on. HEADRACE_HOST")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port of the data plane; 0 takes a free one.")] = None,
    control_port: Annotated[
        int | None, typer.Option("--control-port", help="Port of the control plane; 0 takes a free one.")
    ] = None,
    llm: Annotated[bool, typer.Option("--llm", help="With the local LLM, as provider `local`.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Run in the background; return when ready.")] = False,
    json: Json = False,
) -> None:
    """Start the platform: data plane, control plane with console, MLflow.

    Runs until Ctrl-C or `headrace down`. What dies is started again.

    \b
    Example:
        headrace up
        headrace up --detach --port 9000 --control-port 9001
    """
    settings = settings_for(home, host=host, port=port, control_port=control_port)
    settings = with_port(settings) if llm else settings
    if detach:
        _announce(settings, start(settings, quiet=json), json=json)
        return
    report = Starting(settings.home, json=json)
    try:
        run(settings, report)
    finally:
        report.close()


def down(home: Home = None, json: Json = False) -> None:
    """Stop the platform: requests in flight are answered, then its processes end. Waits until they are gone.

    \b
    Example:
        headrace down
    """
    settings = settings_for(home)
    with progress("stopping", quiet=json) as tell:
        was = stop(settings)
        seconds = tell.seconds
    if json:
        emit({"home": str(settings.home), "stopped": bool(was), "pid": was, "seconds": round(seconds, 1)})
    elif was:
        say(f"stopped after {seconds:.1f} s")
    else:
        say(f"nothing runs on {escape(str(settings.home))}")


def start(settings: Settings, *, quiet: bool = False) -> float:
    """Start the platform in a process of its own; the seconds until it was ready. Raises if it does not get there."""
    if (other := running(settings)) is not None:
        raise Conflict(
            f"Headrace already runs on {str(settings.home)!r}: {other.sentence()}",
            field="home",
            hint="stop it with `headrace down`, or give another folder with --home",
        )
    settings.logs.mkdir(parents=True, exist_ok=True)
    log = settings.logs / "supervisor.log"
    with log.open("ab") as file, progress("starting", quiet=quiet) as tell:
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace.cli.main", "up"],
            env=os.environ | settings.environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        while not _is_ready(settings, process.pid):
            if process.poll() is not None:
                raise Unavailable(last_line(log).removeprefix("error: "))
            if tell.seconds > START_SECONDS:
                what = _unready(settings)
                process.terminate()
                process.wait(stop_seconds(settings))
                raise Unavailable(f"not ready after {START_SECONDS:.0f} s: {what}", hint=f"see {settings.logs}")
            tell.now(f"starting: {_unready(settings)} ({tell.seconds:.0f} s)")
            time.sleep(_LOOK_SECONDS)
        return tell.seconds


def stop(settings: Settings) -> int:
    """The pid that was stopped; 0 if nothing ran. What does not end in time is killed."""
    who = running(settings)
    if who is None:
        return 0
    _signal(who.pid, signal.SIGTERM)
    deadline = time.monotonic() + stop_seconds(settings)
    while running(settings) is not None:
        if time.monotonic() > deadline:
            _signal(who.pid, signal.SIGKILL)
            sweep(state_file(settings), patience=1.0)
            deadline = float("inf")
        time.sleep(_LOOK_SECONDS)
    return who.pid


def _is_ready(settings: Settings, pid: int) -> bool:
    state = read_state(state_file(settings))
    return state is not None and state.pid == pid and state.ready


def _unready(settings: Settings) -> str:
    state = read_state(state_file(settings))
    waiting = [c for c in state.children if c.state is not State.READY] if state else []
    return ", ".join(f"{c.name} {c.detail or c.state}" for c in waiting) or "the supervisor"


def _announce(settings: Settings, seconds: float, *, json: bool) -> None:
    who = running(settings)
    if who is None:
        raise Unavailable("the platform ended as soon as it was ready", hint=f"see {settings.logs}")
    if json:
        emit({"pid": who.pid, "home": str(settings.home), "urls": who.urls, "seconds": round(seconds, 1)})
    else:
        say(f"[bold green]ready[/] after {seconds:.1f} s in the background (pid {who.pid}); headrace down stops it")
        say(where(who.urls))


def _signal(pid: int, number: signal.Signals) -> None:
    if pid > 0:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
