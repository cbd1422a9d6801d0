"""`headrace demo`: the main job on real data, in a folder of its own, told as it happens.

Called by people, `make demo` and CI (`--once`). Owns the platform that it starts: whatever happens, it ends with it.
"""

from __future__ import annotations

import shutil
import signal
import time
from dataclasses import asdict, replace
from typing import Annotated, Any, NoReturn

import typer
from rich.markup import escape

from headrace.base.settings import Settings
from headrace.cli.demo.play import AFTERWARDS, play, users
from headrace.cli.demo.story import Facts, problems, tell
from headrace.cli.options import Home, Json, running, settings_for
from headrace.cli.show import emit, fail, progress, say
from headrace.cli.up import start, stop
from headrace.types.errors import BadInput, Conflict, Unavailable

MARKER = "made-by-headrace-demo"
FAILED = 1


def demo(
    once: Annotated[bool, typer.Option("--once", help="End when the story is told; for CI.")] = False,
    home: Home = None,
    port: Annotated[int | None, typer.Option("--port", help="Port of the data plane; 0 takes a free one.")] = None,
    control_port: Annotated[
        int | None, typer.Option("--control-port", help="Port of the control plane; 0 takes a free one.")
    ] = None,
    json: Json = False,
) -> None:
    """Do the main job on real data: train, deploy, serve, release twice, learn. About two minutes.

    Works in a folder of its own (the data folder's "demo"), which it makes anew. Stays up for you to look around until
    Ctrl-C; with --once it ends. Exit status 1 if anything was not as it must be.

    \b
    Example:
        headrace demo
        headrace demo --once --home /tmp/demo --port 0 --control-port 0
    """
    settings = settings_for(home, port=port, control_port=control_port)
    if home is None:
        settings = replace(settings, home=settings.home / "demo")
    make_new(settings)
    signal.signal(signal.SIGTERM, _end)
    try:
        facts = _run(settings, quiet=json)
        wrong = problems(facts)
        _report(facts, wrong, json=json)
        if not once and not json:
            _stay(facts)
    finally:
        with progress("stopping", quiet=json):
            stop(settings)
    if wrong:
        raise typer.Exit(FAILED)


def make_new(settings: Settings) -> None:
    """An empty folder. One that another demo made is removed; one that holds anything else is not touched."""
    home = settings.home
    if (other := running(settings)) is not None:
        raise Conflict(
            f"a demo already runs on {str(home)!r}: {other.sentence()}", hint=f"headrace down --home {home} stops it"
        )
    if home.exists() and any(home.iterdir()):
        if not (home / MARKER).exists():
            raise BadInput(
                f"{str(home)!r} is not empty and was not made by a demo", field="--home", hint="give a new folder"
            )
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / MARKER).touch()


def _run(settings: Settings, *, quiet: bool) -> Facts:
    with progress("starting", quiet=quiet) as line:
        line.heading(f"headrace up --home {settings.home}")
        seconds = start(settings, quiet=True)
        who = running(settings)
        if who is None:
            raise Unavailable("the platform ended as soon as it was ready", hint=f"see {settings.logs}")
        line(f"data plane {who.urls['data']}, control plane and console {who.urls['control']}, MLflow")
        return play(settings, who.urls, line, start_seconds=seconds)


def _report(facts: Facts, wrong: list[str], *, json: bool) -> None:
    if json:
        emit(_document(facts, wrong))
        return
    say(f"\n[bold]What happened[/] [dim]in {facts.seconds:.0f} s[/]\n")
    for line in tell(facts):
        say(f"  {line}" if line else "")
    for what in wrong:
        fail(what)


def _document(facts: Facts, wrong: list[str]) -> dict[str, Any]:
    seen = facts.seen
    counts = {
        "requests": seen.requests,
        "failed": seen.failed,
        "failures": seen.failures,
        "feedback": seen.feedback,
        "corrections": seen.corrections,
        "versions": dict(seen.versions),
        "p50_ms": round(seen.quantile(0.5), 2),
        "p99_ms": round(seen.quantile(0.99), 2),
    }
    return {k: v for k, v in asdict(facts).items() if k != "seen"} | {"traffic": counts, "problems": wrong}


def _stay(facts: Facts) -> None:
    say(f"\nThe console is open at [bold]{facts.urls['control']}[/]. Ctrl-C ends the demo.")
    look = f"headrace status --home {escape(facts.home)}"
    say(f"[dim]{AFTERWARDS:.0f} requests a second go on; in another terminal: {look}[/]")
    try:
        with users(facts.urls, rate=AFTERWARDS):
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        say("")


def _end(number: int, _: object) -> NoReturn:
    """A SIGTERM ends the demo as Ctrl-C does, so that the platform ends with it."""
    raise KeyboardInterrupt
