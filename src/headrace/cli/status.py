"""`headrace status` and `headrace logs`: what runs, how it is, and what it says.

Called by people and scripts. Reads the supervisor's state file and asks both planes; a plane that does not answer is
shown as such and delays the command by two seconds at most.
"""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import psutil
import typer
from rich.markup import escape

from headrace.base.settings import Settings
from headrace.cli.options import CONTROL, DATA, Home, Json, running, settings_for, state_file
from headrace.cli.show import duration, emit, note, out, say, share, table
from headrace.cli.starting import TITLES, title_of, where
from headrace.client.admin import Admin
from headrace.client.predict import Headrace
from headrace.compute.logfile import tail
from headrace.compute.supervise import ChildStatus, read_state
from headrace.types.errors import BadInput, HeadraceError, NotFound

NOT_RUNNING = 3  # exit status
_PATIENCE = 2.0
_LOOK_SECONDS = 0.2

T = TypeVar("T")


def status(home: Home = None, json: Json = False) -> None:
    """Show what runs: processes, addresses, plan revision, endpoints, releases in flight. Exit status 3: nothing runs.

    \b
    Example:
        headrace status
        headrace status --json
    """
    settings = settings_for(home)
    found = look(settings)
    if json:
        emit(found)
    elif found["running"]:
        _show(found)
    else:
        say(f"nothing runs on {escape(str(settings.home))}; start it with [bold]headrace up[/]")
    if not found["running"]:
        raise typer.Exit(NOT_RUNNING)


def logs(
    name: Annotated[
        str | None, typer.Argument(help="data (or data-1 …), control, mlflow, llm or supervisor; without it: all.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many lines of the past.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are written.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Print what the processes log. With --json the lines as they are: JSON of our planes, text of MLflow.

    \b
    Example:
        headrace logs
        headrace logs data -n 200 -f
    """
    settings = settings_for(home)
    files = {path.stem: path for path in sorted(settings.logs.glob("*.log"))}
    if name is not None and name not in files:
        known = dict.fromkeys((*TITLES, *settings.planes, "supervisor"))
        workers = [stem for stem in files if name == DATA and stem.startswith(f"{DATA}-")]
        if not workers and name in known:
            raise NotFound(f"{name} has no log in {str(settings.logs)!r}", hint="has it been started?")
        if not workers:
            raise BadInput(f"{name!r} is not a process; there are: {', '.join(known)}", field="name")
        chosen = {worker: files[worker] for worker in workers}
        name = None  # several: each line says whose it is
    else:
        chosen = {name: files[name]} if name else files
    spots = {path: path.stat().st_size for path in chosen.values()}
    for title, path in chosen.items():
        for line in tail(path, lines):
            _print(title if not name else "", line, json=json)
    while follow:
        time.sleep(_LOOK_SECONDS)
        for title, path in chosen.items():
            spots[path] = _more(title if not name else "", path, spots[path], json=json)


def look(settings: Settings) -> dict[str, Any]:
    """All that `status` tells, as one document."""
    who = running(settings)
    state = read_state(state_file(settings))
    if who is None or state is None or state.pid != who.pid:
        return {"running": who is not None, "ready": False, "home": str(settings.home), "processes": []} | (
            {"pid": who.pid, "urls": who.urls} if who else {}
        )
    token = settings.admin_token.reveal()
    with (
        Headrace(who.urls[DATA], timeout=_PATIENCE) as data,
        Admin(who.urls[CONTROL], token=token, timeout=_PATIENCE, tries=1) as control,
    ):
        health = _try(data.health)
        overview = _try(control.status)
        releases = _try(control.releases)
    return {
        "running": True,
        "ready": all(child.state == "ready" for child in state.children),
        "home": str(settings.home),
        "pid": who.pid,
        "uptime_seconds": round(time.time() - who.started, 1),
        "urls": who.urls,
        "processes": [_process(child) for child in state.children],
        "data": health,
        "control": overview,
        "releases": [r for r in releases if not r.get("ended")] if isinstance(releases, list) else releases,
    }


def _try(ask: Callable[[], T]) -> T | dict[str, str]:
    try:
        return ask()
    except HeadraceError as error:
        return {"error": error.message}


def _process(child: ChildStatus) -> dict[str, Any]:
    return {
        "name": child.name,
        "state": child.state,
        "pid": child.pid,
        "uptime_seconds": round(time.time() - child.started, 1) if child.pid else 0.0,
        "ready_seconds": child.ready_seconds,
        "restarts": child.restarts,
        "rss_mb": _rss_mb(child.pid),
        "detail": child.detail,
    }


def _rss_mb(pid: int) -> float:
    """Of the process and those below it: MLflow's worker, a data plane's model hosts."""
    total = 0
    try:
        root = psutil.Process(pid) if pid else None
        for process in [root, *root.children(recursive=True)] if root else []:
            total += process.memory_info().rss
    except psutil.Error:  # ended meanwhile
        return 0.0
    return round(total / 1e6, 1)


def _show(found: dict[str, Any]) -> None:
    state = "[bold green]ready[/]" if found["ready"] else "[bold yellow]not all parts are ready[/]"
    say(f"{state}, up {duration(found.get('uptime_seconds', 0))}, pid {found['pid']}, on {escape(found['home'])}")
    if found.get("urls"):
        say(where(found["urls"]))
    say("")
    table(
        ("process", "state", "pid", "up", "restarts", "MB", ""),
        [
            (
                *(title_of(p["name"]), p["state"], p["pid"] or None, duration(p["uptime_seconds"])),
                *(p["restarts"], round(p["rss_mb"]), p["detail"]),
            )
            for p in found["processes"]
        ],
        empty="no processes yet",
    )
    for plane in ("data", "control"):
        if "error" in found.get(plane, {}) and isinstance(found[plane]["error"], str):
            note(f"[yellow]{TITLES[plane]}: {escape(found[plane]['error'])}[/]")
    _show_serving(found)


def _show_serving(found: dict[str, Any]) -> None:
    health = found.get("data", {})
    say("")
    plan = health.get("plan") or {}
    say(f"plan revision {health.get('revision', '–')}" + (f", {plan['error']}" if plan.get("error") else ""))
    if behind := [w for w in health.get("workers", ()) if w["status"] != "ready" or w["error"]]:
        said = "; ".join(f"{title_of(w['plane'])} is {w['status']}, {w['error'] or ''}".rstrip(", ") for w in behind)
        note(f"[yellow]{escape(said)}[/]")
    endpoints = health.get("endpoints") or []
    table(
        ("endpoint", "model", "answered by", "candidate", "its share"),
        [(e["name"], e["model"], e["baseline"], e["candidate"], share(e["share"])) for e in endpoints],
        empty="no endpoint yet: headrace deploy models:/NAME/VERSION",
    )
    releases = found.get("releases")
    if isinstance(releases, list) and releases:
        say("")
        table(
            ("release", "endpoint", "candidate", "phase", "share", "verdict"),
            [
                (
                    r["id"],
                    r["endpoint"],
                    r["candidate"],
                    r["phase"],
                    _share(r),
                    (r.get("judgement") or {}).get("verdict"),
                )
                for r in releases
            ],
            empty="",
        )


def _share(release: dict[str, Any]) -> str:
    steps = release.get("plan", {}).get("steps", [])
    at = release.get("step", 0)
    return share(steps[at]["share"]) if at < len(steps) else "–"


def _more(title: str, path: Path, spot: int, *, json: bool) -> int:
    """Print what was written since `spot`; whole lines only. A file that became shorter was rotated."""
    size = path.stat().st_size
    if size < spot:
        spot = 0
    if size == spot:
        return spot
    with path.open("rb") as file:
        file.seek(spot)
        block = file.read(size - spot)
    whole = block[: block.rfind(b"\n") + 1]
    for line in whole.decode(errors="replace").splitlines():
        _print(title, line, json=json)
    return spot + len(whole)


def _print(title: str, line: str, *, json: bool) -> None:
    if json:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        return
    prefix = f"[cyan]{title:<10}[/] " if title else ""
    out().print(prefix + _readable(line))


def _readable(line: str) -> str:
    """A JSON log line as people read it; any other line as it is."""
    try:
        entry = jsonlib.loads(line)
        moment, level, message = entry.pop("time"), entry.pop("level"), entry.pop("message")
    except (ValueError, KeyError, TypeError, AttributeError):
        return escape(line)
    for name in ("process", "logger"):
        entry.pop(name, None)
    exception = entry.pop("exception", "")
    rest = " ".join(f"{k}={v}" for k, v in entry.items())
    colour = {"warning": "yellow", "error": "red", "critical": "red"}.get(level, "dim")
    text = f"[dim]{moment[11:23]}[/] [{colour}]{level:<7}[/] {escape(message)} [dim]{escape(rest)}[/]"
    return text + (f"\n{escape(exception)}" if exception else "")
