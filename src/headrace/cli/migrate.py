"""`headrace migrate`: data from one store to another while applications use it, one step a command.

Called by people and by whatever runs migrations. Decides what is shown: a bar while it works, the result as words or,
with --json, as one document. Needs no running platform, `report` apart: it talks to the two stores alone.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from headrace.base.clock import SystemClock
from headrace.cli.cutover import report_on, show_report
from headrace.cli.options import ControlUrl, Home, Json, admin, settings_for, user
from headrace.cli.show import ago, emit, err, note, say, table
from headrace.migration.check import shown
from headrace.migration.client import Carrier, open_stores
from headrace.migration.migrate import Migration, Status
from headrace.migration.roles import SOURCE, TARGET
from headrace.migration.spec import read_spec
from headrace.types.migration import Check, Spec
from headrace.types.migration import Progress as Now

app = typer.Typer(
    name="migrate",
    help="Move data to another store while applications use it; report on a cut-over of traffic.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
File = Annotated[Path, typer.Argument(metavar="SPEC", help="Description of the migration, YAML: docs/migration.md")]
Sample = Annotated[
    float,
    typer.Option("--sample", min=0.0, max=1.0, help="Compare this share of rows; 1 is all, and finds extra ones."),
]
DIFFERENT = 1


@app.command()
def prepare(spec: File, home: Home = None, json: Json = False) -> None:
    """Make the tables beside the rows' own, where applications may make none themselves.

    \b
    Example:
        headrace migrate prepare features.yaml
    """
    with _opened(spec, home) as (_, migration):
        migration.prepare()
    emit({"prepared": True}) if json else say("prepared")


@app.command()
def start(spec: File, home: Home = None, json: Json = False) -> None:
    """From here on each write goes to both stores. Every writer must use the client by then.

    \b
    Example:
        headrace migrate start features.yaml
    """
    _do(spec, home, json, lambda migration: migration.start())


@app.command()
def copy(spec: File, home: Home = None, json: Json = False) -> None:
    """Copy all rows, in chunks that are read back and compared; goes on where it was interrupted.

    \b
    Example:
        headrace migrate copy features.yaml
    """
    with _bar(quiet=json) as show:
        _do(spec, home, json, lambda migration: migration.copy(show))


@app.command()
def check(
    spec: File,
    repair: Annotated[bool, typer.Option("--repair", help="Give the other store what the truth has.")] = False,
    sample: Sample = 1.0,
    home: Home = None,
    json: Json = False,
) -> None:
    """Compare both stores; exit status 1 when they differ.

    \b
    Example:
        headrace migrate check features.yaml
        headrace migrate check features.yaml --repair
    """
    with _opened(spec, home) as (_, migration), _bar(quiet=json) as show:
        found = migration.check(show, sample=sample, repair=repair)
    _tell_check(found, json=json)
    if not found.equal:
        raise typer.Exit(DIFFERENT)


@app.command()
def switch(spec: File, sample: Sample = 1.0, home: Home = None, json: Json = False) -> None:
    """Compare once more, then send reads and first writes to the target. The source follows: `back` is instant.

    \b
    Example:
        headrace migrate switch features.yaml
    """
    with _bar(quiet=json) as show:
        _do(spec, home, json, lambda migration: migration.switch(show, sample=sample))


@app.command()
def back(spec: File, home: Home = None, json: Json = False) -> None:
    """Send reads and first writes to the source again. Nothing that was written meanwhile is lost.

    \b
    Example:
        headrace migrate back features.yaml
    """
    _do(spec, home, json, lambda migration: migration.back())


@app.command()
def finish(spec: File, home: Home = None, json: Json = False) -> None:
    """The target alone. The source is left as it is, and is written no more.

    \b
    Example:
        headrace migrate finish features.yaml
    """
    _do(spec, home, json, lambda migration: migration.finish())


@app.command()
def abort(spec: File, home: Home = None, json: Json = False) -> None:
    """The source alone, as before. What was copied stays in the target.

    \b
    Example:
        headrace migrate abort features.yaml
    """
    _do(spec, home, json, lambda migration: migration.abort())


@app.command()
def status(spec: File, home: Home = None, json: Json = False) -> None:
    """How far it is, where reads and writes go, what is still on its way, and who did what.

    \b
    Example:
        headrace migrate status features.yaml
    """
    _do(spec, home, json, lambda _: None)


@app.command()
def carry(spec: File, home: Home = None, json: Json = False) -> None:
    """Carry second writes until told to stop: for applications that leave it to others, or that have died.

    \b
    Example:
        headrace migrate carry features.yaml
    """
    del home
    described = read_spec(spec)
    stores = open_stores(described)
    carrier = Carrier(stores)

    def stop(*_: Any) -> None:
        carrier.stop.set()
        carrier.wake.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    thread = threading.Thread(target=carrier.run)
    thread.start()
    while thread.is_alive():
        thread.join(1.0)  # a wait without end would not let signals through
    for store in stores:
        store.close()
    emit({"carried": carrier.carried}) if json else note(f"{carrier.carried:,} rows carried")


@app.command()
def report(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="Whose traffic was moved.")],
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """How a cut-over of an endpoint went: what differed, latency and failures before and after, who did what and why.

    \b
    Example:
        headrace migrate report churn
    """
    with admin(home, url) as control:
        found = report_on(control, endpoint)
    if json:
        emit(found)
    else:
        show_report(found)


def _do(spec: Path, home: Path | None, json: bool, work: Callable[[Migration], Any]) -> None:
    with _opened(spec, home) as (_, migration):
        work(migration)
        _tell(migration.status(), json=json)


@contextmanager
def _opened(path: Path, home: Path | None) -> Iterator[tuple[Spec, Migration]]:
    spec = read_spec(path)
    stores = open_stores(spec)
    folder = settings_for(home).home / "migrations"
    try:
        migration = Migration(spec, stores, folder=folder, clock=SystemClock(), actor=user())
        try:
            yield spec, migration
        finally:
            migration.close()
    finally:
        for store in stores:
            store.close()


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[Now], None]]:
    console = Console(quiet=True) if quiet else err()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    tasks: dict[str, Any] = {}

    def show(now: Now) -> None:
        if now.what not in tasks:
            tasks[now.what] = bar.add_task(now.what, total=None)
        bar.update(tasks[now.what], completed=now.done, total=now.total or None)

    with bar:
        yield show


def _tell(status: Status, *, json: bool) -> None:
    standings = dict(zip((status.source, status.target), status.sides.standings, strict=True))
    if json:
        emit(
            {
                "name": status.name,
                "phase": status.phase.value,
                "truth": {SOURCE: "source", TARGET: "target"}.get(
                    status.sides.truth if status.sides.truth is not None else -1
                ),
                "stores": {
                    name: {"store": store, "role": standing.role.value if standing else None}
                    for name, (store, standing) in zip(("source", "target"), standings.items(), strict=True)
                },
                "pending": asdict(status.lag),
                "copied": status.copied,
                "steps": [asdict(step) | {"phase": step.phase.value} for step in status.steps],
            }
        )
        return
    say(f"[bold]{escape(status.name)}[/] is [bold]{status.phase.value}[/]")
    for name, standing in standings.items():
        say(f"  {escape(name)}: {standing.role.value if standing else 'does not answer'}")
    if status.sides.trouble:
        note(f"[yellow]{escape(status.sides.trouble)}[/]")
    if status.lag.rows:
        say(f"  {status.lag.rows:,} rows on their way, the oldest for {status.lag.seconds:.1f} s")
    rows = [(ago(s.time), s.actor, s.action, s.phase.value, s.detail) for s in status.steps[-10:]]
    table(
        ("when", "who", "step", "then", "what came of it"), rows, empty="nothing was done yet: headrace migrate start"
    )


def _tell_check(found: Check, *, json: bool) -> None:
    if json:
        told = asdict(found) | {"equal": found.equal}
        told["differing"] = [
            {"key": d.key, "what": d.what.value, "versions": [d.truth.version, d.follower.version]}
            for d in found.differing
        ]
        emit(told)
        return
    if found.repaired:
        say(f"{found.repaired:,} rows repaired")
    if found.equal:
        mark = f", fingerprint {found.fingerprint}" if found.fingerprint else ""
        say(f"[green]equal[/]: {found.compared:,} of {found.rows:,} rows compared{mark}")
        return
    say(f"[red]{found.differences:,} rows differ[/] of {found.compared:,} compared")
    for line in shown(found.differing[:20]):
        say(f"  {escape(line)}")
    note("headrace migrate check --repair gives the other store what the truth has")
