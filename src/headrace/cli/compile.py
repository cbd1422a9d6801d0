"""`headrace compile`: a program made better with labelled rows, measured, and registered.

Called by people and pipelines. The control plane does the work, in a process of its own; this shows how far it is.
Ctrl-C cancels it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape

from headrace.cli.documents import read_mapping
from headrace.cli.options import ControlUrl, Home, Json, admin
from headrace.cli.rowfiles import read_rows
from headrace.cli.show import Progress, emit, progress, say
from headrace.client.admin import Admin
from headrace.programs.optimizers.registry import optimizers
from headrace.types.errors import BadInput, Conflict, ModelFailed
from headrace.types.program import Budget, OptimizerName, Phase, Register

_LOOK_SECONDS = 0.3


def compile_(  # noqa: PLR0913 - each option of a command is an argument
    program: Annotated[
        Path | None, typer.Argument(metavar="PROGRAM", help="YAML or JSON of the program: docs/programs.md.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", "-d", help="Labelled rows: .jsonl or .csv.")] = None,
    test: Annotated[Path | None, typer.Option("--test", help="Rows kept apart; default: some of --data.")] = None,
    optimizer: Annotated[
        OptimizerName, typer.Option("--optimizer", "-o", help="How; --optimizers explains each.")
    ] = OptimizerName.BOOTSTRAP,
    metric: Annotated[str, typer.Option("--metric", help="exact, f1, or a function of the program's code.")] = "exact",
    calls: Annotated[int, typer.Option("--calls", help="Calls of language models at most; 0: no bound.")] = 1000,
    money: Annotated[float, typer.Option("--money", help="Money at most, by the prices of the alias.")] = 0.0,
    seconds: Annotated[float, typer.Option("--seconds", help="Time at most.")] = Budget().seconds,
    seed: Annotated[int, typer.Option("--seed", help="The same seed, the same split and draws.")] = 0,
    threads: Annotated[int, typer.Option("--threads", help="Rows asked at the same time.")] = 4,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the optimizer.")
    ] = None,
    reflection: Annotated[str, typer.Option("--reflection-lm", help="Alias of the one that thinks.")] = "",
    against: Annotated[str, typer.Option("--against", metavar="URI", help="A version that it has to beat.")] = "",
    dataset: Annotated[str, typer.Option("--dataset", metavar="NAME@DIGEST", help="Where the rows are from.")] = "",
    group: Annotated[str, typer.Option("--group", help="Column whose rows stay on one side of the split.")] = "",
    register: Annotated[Register, typer.Option("--register", help="When it becomes a version.")] = Register.BETTER,
    explain: Annotated[bool, typer.Option("--optimizers", help="What each optimizer does, needs and costs.")] = False,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Compile a program with labelled rows: find examples and instructions that make its answers better.

    It is measured before and after, on rows that the optimizer never sees, and registered as a new version unless it
    got worse. Its budget is never exceeded. Ctrl-C cancels.

    \b
    Example:
        headrace compile ticket.yaml --data tickets.jsonl
        headrace compile ticket.yaml --data tickets.jsonl --optimizer MIPROv2 --calls 2000 --money 1.50
        headrace compile ticket.yaml --data new.jsonl --against models:/ticket/2
        headrace compile --optimizers
    """
    if explain:
        _explain(json=json)
        return
    if program is None or data is None:
        raise BadInput("a compilation needs a program and --data", field="--data", hint="headrace compile --help")
    written = read_mapping(program, field="program")
    how: dict[str, Any] = {
        "optimizer": optimizer.value,
        "metric": metric,
        "seed": seed,
        "threads": threads,
        "reflection_lm": reflection,
        "settings": _settings(settings or []),
        "budget": {"calls": calls, "money": money, "seconds": seconds},
    }
    order = {
        "program": written,
        "code": _code(program, written),
        "rows": read_rows(data, field="--data"),
        "test": read_rows(test, field="--test") if test else [],
        "how": how,
        "against": against,
        "dataset": dataset or data.name,
        "group": group,
        "register": register.value,
    }
    with admin(home, url) as control, progress(f"compiling {program.name}", quiet=json) as tell:
        done = _followed(control, order, tell)
    if json:
        emit(done)
    else:
        _show(done)


def _followed(control: Admin, order: dict[str, Any], tell: Progress) -> dict[str, Any]:
    state = control.compile(order)
    try:
        told = ""
        while not Phase(state["phase"]).ended:
            time.sleep(_LOOK_SECONDS)
            state = control.compilation(state["id"])
            if state["told"] != told:
                told = state["told"]
                tell(told)
    except KeyboardInterrupt:
        control.cancel_compilation(state["id"])
        raise
    if state["phase"] == Phase.CANCELLED:
        raise Conflict(state["error"], field="compile")
    if state["phase"] == Phase.FAILED:
        raise ModelFailed(state["error"])
    return state


def _show(state: dict[str, Any]) -> None:
    found, usage = state["compiled"], state["compiled"]["usage"]
    version = f"models:/{state['model']}/{state['version']}"
    say(f"[bold green]registered[/] {escape(version)}" if state["version"] else f"not registered: {state['note']}")
    before, after = _score(found["before"]), _score(found["after"])
    say(f"  {state['how']['metric']} on {found['after']['rows']} test rows: {before} before, {after} after")
    say(f"  gain, row by row: {_score(found['gain'], sign=True)}")
    money = f", {usage['money']:.4g} spent" if usage["money"] else ""
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    say(
        f"  {usage['calls']} calls, {tokens:,} tokens{money}, {found['seconds']:.1f} s; {found['demos']} examples shown"
    )
    if found["stopped"]:
        say(f"  stopped early: {escape(found['stopped'])}")
    if found["errors"]:
        say(f"  {found['errors']} test rows got no answer and count as 0; the first: {escape(found['error'])}")


def _score(score: dict[str, Any], *, sign: bool = False) -> str:
    form = "+.3f" if sign else ".3f"
    return f"{score['mean']:{form}} ({score['low']:{form}} to {score['high']:{form}})"


def _explain(*, json: bool) -> None:
    known = optimizers().values()
    if json:
        emit([{n: getattr(o, n) for n in ("name", "does", "needs", "costs", "settings")} for o in known])
        return
    for found in known:
        say(f"[bold]{found.name.value}[/]  {escape(found.does)}")
        say(f"  needs     {escape(found.needs)}")
        say(f"  costs     {escape(found.costs)}")
        say(f"  settings  {escape(', '.join(f'{name}={value}' for name, value in found.settings.items()))}")


def _settings(given: list[str]) -> dict[str, Any]:
    found = {}
    for item in given:
        name, sign, value = item.partition("=")
        if not sign or not name:
            raise BadInput(f"--set {item!r} is not NAME=VALUE", field="--set")
        try:
            found[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            found[name] = value
    return found


def _code(program: Path, written: dict[str, Any]) -> str:
    """The text of the module that lies beside the program."""
    code = written.get("code")
    name = code.get("file") if isinstance(code, dict) else None
    if not isinstance(name, str):
        return ""
    try:
        return (program.parent / name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{name!r} beside {program.name} cannot be read: {error}", field="code.file") from error
