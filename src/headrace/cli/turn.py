"""`headrace turn`: the flywheel of an endpoint: begin it, watch it, end it.

Called by people and scripts. What a turn does stands in flywheel.yaml; `init` writes one to begin with.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from headrace.cli.options import ControlUrl, Home, Json, admin, settings_for
from headrace.cli.show import ago, duration, emit, note, say, table
from headrace.cli.turntext import README, SPEC, TRAIN
from headrace.client.admin import Admin
from headrace.flywheel.spec import FILE, read_flywheel
from headrace.types.errors import BadInput, Conflict

ENDED = ("done", "refused", "failed", "cancelled")
MARKS = {
    "waiting": "·",
    "running": "▶",
    "done": "✓",
    "cached": "✓",
    "refused": "✗",
    "failed": "✗",
    "skipped": "–",
}
LOOK_SECONDS = 0.5

Endpoint = Annotated[str, typer.Argument(help="Whose flywheel.")]
TurnId = Annotated[str, typer.Argument(help="Such as turn_9f2k…; or an endpoint, for its newest.")]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="Until it has ended; status 1 when it failed or was refused.")]

app = typer.Typer(
    name="turn",
    help="The flywheel: from what people said to a release.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def init(
    endpoint: Endpoint,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Write a flywheel.yaml and a training to begin with.

    \b
    Example:
        headrace turn init digits
    """
    folder = settings_for(home).flywheels_folder / endpoint
    if (folder / FILE).exists() and not force:
        raise Conflict(f"{str(folder / FILE)!r} is there already", field="endpoint", hint="--force writes over it")
    if Path(endpoint).name != endpoint or endpoint.startswith("."):
        raise BadInput(f"{endpoint!r} is no name of an endpoint", field="endpoint")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((FILE, SPEC), ("train.py", TRAIN), ("README.md", README)):
        (folder / name).write_text(text.replace("ENDPOINT", endpoint))
    written = [str(folder / name) for name in (FILE, "train.py", "README.md")]
    if json:
        emit({"written": written})
        return
    for path in written:
        say(escape(path))
    note("[dim]put golden.jsonl beside them, then: headrace turn check, headrace turn plan, headrace turn start[/]")


@app.command()
def check(endpoint: Endpoint, home: Home = None, json: Json = False) -> None:
    """Read a flywheel.yaml and say what is wrong with it. Needs no running platform.

    \b
    Example:
        headrace turn check digits
    """
    folder = settings_for(home).flywheels_folder / endpoint
    found = read_flywheel(folder)
    missing = [name for name in (found.data.base, found.data.golden, found.data.must) if name]
    missing = [name for name in missing if not (folder / name).is_file()]
    if missing:
        raise BadInput(f"there is no file {missing[0]!r} in {str(folder)!r}", field="data")
    if json:
        emit({"endpoint": endpoint, "ok": True})
    else:
        say(f"{escape(str(folder / FILE))} is in order")


@app.command()
def plan(endpoint: Endpoint, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Days to decision at today's pace. Nothing begins.

    \b
    Example:
        headrace turn plan digits
    """
    with admin(home, url) as control:
        found = control.plan_turn(endpoint)
    if json:
        emit(found)
        return
    pace = found["pace"]
    say(
        f"{pace['calls']:,.0f} calls, {pace['corrections']:,.0f} corrections and {pace['ratings']:,.0f} ratings a day "
        f"[dim](of the latest {pace['seen']:,} calls)[/]"
    )
    _outlook(found)


@app.command()
def start(
    endpoint: Endpoint,
    why: Annotated[str, typer.Option("--why", "-r", help="Kept in the history.")] = "",
    wait: Wait = False,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Begin a turn now.

    \b
    Example:
        headrace turn start digits --wait
    """
    with admin(home, url) as control:
        turn = control.begin_turn(endpoint, why=why)
        if wait:
            turn = _follow(control, turn["id"], quiet=json)
    _show(turn, json=json)
    if wait and turn["state"] != "done":
        raise typer.Exit(1)


@app.command()
def watch(turn: TurnId, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Follow a turn to its end, step by step.

    \b
    Example:
        headrace turn watch digits
    """
    with admin(home, url) as control:
        found = _follow(control, _find(control, turn)["id"], quiet=json)
    _show(found, json=json)


@app.command()
def status(turn: TurnId, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """How far a turn is, and what came out.

    \b
    Example:
        headrace turn status digits
    """
    with admin(home, url) as control:
        _show(_find(control, turn), json=json)


@app.command()
def cancel(turn: TurnId, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """End a turn. What its steps have made is kept for the next one.

    \b
    Example:
        headrace turn cancel digits
    """
    with admin(home, url) as control:
        _show(control.cancel_turn(_find(control, turn)["id"]), json=json)


@app.command(name="list")
def list_turns(
    endpoint: Annotated[str | None, typer.Argument(help="Of this one alone.")] = None,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Turns, the newest first, and what the next ones wait for.

    \b
    Example:
        headrace turn list
    """
    with admin(home, url) as control:
        found, wheels = control.turns(endpoint=endpoint), control.flywheels()
    if json:
        emit({"turns": found, "flywheels": wheels})
        return
    table(
        ("turn", "endpoint", "state", "begun by", "version", "release", "begun", "what came of it"),
        [_row(each) for each in found],
        empty="no turn yet: headrace turn start ENDPOINT",
    )
    for wheel in wheels:
        if endpoint in (None, wheel["endpoint"]):
            say(f"[dim]{escape(wheel['endpoint'])}: {escape(wheel.get('problem') or _waits(wheel))}[/]")


def _find(control: Admin, name: str) -> dict[str, Any]:
    if name.startswith("turn_"):
        return control.turn(name)
    found = control.turns(endpoint=name, limit=1)
    if not found:
        raise BadInput(f"there is no turn of {name!r} yet", field="turn", hint=f"headrace turn start {name}")
    return dict(found[0])


def _follow(control: Admin, turn_id: str, *, quiet: bool) -> dict[str, Any]:
    """Bars on a terminal, a line for each step elsewhere."""
    console = Console(stderr=True, quiet=quiet)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[says]}"),
    )
    told: set[str] = set()
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        tasks = {}
        while True:
            turn = control.turn(turn_id)
            for step in turn["steps"]:
                name = step["name"]
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=1.0, start=False, says="")
                if step["begun"]:
                    bars.start_task(tasks[name])
                over = step["state"] not in ("waiting", "running")
                done = 1.0 if over else step["progress"]
                bars.update(tasks[name], completed=done, says=escape(step["says"][:100]))
                if over and step["state"] != "skipped" and name not in told and not console.is_terminal and not quiet:
                    told.add(name)
                    note(f"{MARKS[step['state']]} {name}: {escape(step['says'])}")
            if turn["state"] in ENDED:
                return turn
            time.sleep(LOOK_SECONDS)


def _show(turn: dict[str, Any], *, json: bool) -> None:
    if json:
        emit(turn)
        return
    say(
        f"[bold]{turn['id']}[/] of {escape(turn['endpoint'])}: [bold]{turn['state']}[/]  [dim]{ago(turn['created'])}[/]"
    )
    table(
        ("", "step", "time", "what"),
        [
            (
                MARKS[step["state"]],
                step["name"],
                _took(step),
                step["says"] + (" (kept)" if step["state"] == "cached" else ""),
            )
            for step in turn["steps"]
        ],
        empty="",
    )
    if turn["gains"]:
        table(
            ("on", "rows", "live", "candidate", "difference", "from", "to"),
            [_gain(gain) for gain in turn["gains"]],
            empty="",
        )
    if turn["right"]:
        say(escape(_right(turn["right"])))
    if turn["outlook"]:
        _outlook(turn["outlook"])
    for gate in turn["gates"]:
        colour = "green" if gate["passed"] else "red"
        say(f"[{colour}]{'✓' if gate['passed'] else '✗'}[/] {gate['gate']}: {escape(gate['says'])}")
    if turn["error"]:
        say(f"[{'yellow' if turn['state'] == 'refused' else 'red'}]{escape(turn['error'])}[/]")


def _outlook(found: dict[str, Any]) -> None:
    table(
        ("for", "needed", "a day", "days to decision", "what"),
        [
            (need["name"], _count(need["needed"]), _count(need["per_day"]), _days(need["days"]), need["says"])
            for need in found["needs"]
        ],
        empty="nothing is needed",
    )


def _right(right: dict[str, Any]) -> str:
    plain, powered = right["plain"], right["powered"]
    return (
        f"of all answers {powered['mean']:.1%} are right ({powered['low']:.1%} to {powered['high']:.1%}): "
        f"{plain['rows']} drawn calls that reviewers labelled, alone {plain['mean']:.1%} ({plain['low']:.1%} to "
        f"{plain['high']:.1%}), and what users said of {right['calls']:,} others; as sure as "
        f"{right['worth']:.0f} labels"
    )


def _gain(gain: dict[str, Any]) -> tuple[object, ...]:
    told = [f"{gain[name]:.4f}" for name in ("baseline", "candidate")]
    moved = [f"{gain[name]:+.4f}" for name in ("difference", "low", "high")]
    return (gain["on"], gain["rows"], *told, *moved)


def _row(turn: dict[str, Any]) -> tuple[object, ...]:
    said = next((step["says"] for step in reversed(turn["steps"]) if step["says"]), "")
    return (
        turn["id"],
        turn["endpoint"],
        turn["state"],
        turn["cause"],
        turn["version"],
        turn["release"],
        ago(turn["created"]),
        turn["error"] or said,
    )


def _waits(wheel: dict[str, Any]) -> str:
    waiting = wheel["waiting"]
    parts = [f"{waiting['usable']} new usable words" + (f" of {waiting['needed']}" if waiting["needed"] else "")]
    if waiting["scheduled"]:
        parts.append(f"scheduled in {duration(waiting['scheduled'] - time.time())}")
    if waiting["rests_until"]:
        parts.append(f"rests for {duration(waiting['rests_until'] - time.time())}")
    return ", ".join(parts)


def _took(step: dict[str, Any]) -> str:
    return f"{step['ended'] - step['begun']:.1f} s" if step["ended"] else ""


def _days(days: float | None) -> str:
    return "not at this pace" if days is None else f"{days:,.1f}" if days < 100 else f"{days:,.0f}"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
