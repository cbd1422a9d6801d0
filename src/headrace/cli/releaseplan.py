"""The plan of a release as the command line says it: options, or a YAML file with the words of the admin API.

Called by release.py. Decides how options and a file come together: an option wins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.cli.documents import read_mapping
from headrace.cli.show import say, table
from headrace.types.errors import BadInput
from headrace.types.strategy import Strategy

_NAMES = ", ".join(strategy.value.replace("_", "-") for strategy in Strategy)

StrategyOption = Annotated[str | None, typer.Option("--strategy", help=f"{_NAMES}. Default: canary.")]
PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", metavar="FILE", help="YAML: strategy, shares or steps, metrics, … (docs/release.md)"),
]
Adapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="FILE",
        help="YAML: how the candidate takes and gives what callers know; ENDPOINT=FILE for one of --also.",
    ),
]
Also = Annotated[
    list[str] | None, typer.Option("--also", metavar="ENDPOINT=URI", help="Moves with it; may be repeated.")
]
Shares = Annotated[str | None, typer.Option("--shares", help="Percentages of users, such as 1,5,25,50,100.")]
StepSeconds = Annotated[float | None, typer.Option("--step-seconds", help="Shortest time on a step.")]
MinUnits = Annotated[int | None, typer.Option("--min-units", help="Fewest users the candidate answers a step.")]
Alpha = Annotated[float | None, typer.Option("--alpha", help="Risk of rolling back a harmless candidate.")]


def plan_of(file: Path | None, *, shares: str | None, **options: Any) -> dict[str, Any]:
    """What differs from the strategy's own plan, as the admin API takes it."""
    plan = {} if file is None else read_mapping(file, field="--plan")
    plan |= {name: value for name, value in options.items() if value is not None}
    if shares is not None:
        try:
            plan["shares"] = [float(part) for part in shares.split(",")]
        except ValueError as error:
            raise BadInput(
                f"{shares!r} is not a list of percentages", field="--shares", hint="such as 1,5,25,50,100"
            ) from error
    return plan


def pairs_of(also: list[str] | None) -> dict[str, str]:
    """ENDPOINT=URI, as often as given."""
    found = {}
    for pair in also or []:
        endpoint, equals, uri = pair.partition("=")
        if not (endpoint and equals and uri):
            raise BadInput(f"{pair!r} is not ENDPOINT=URI", field="--also", hint="such as rank=models:/rank/7")
        found[endpoint] = uri
    return found


def adapters_of(endpoint: str, given: list[str] | None) -> dict[str, dict[str, Any]]:
    """By endpoint: FILE for the first one, ENDPOINT=FILE for others."""
    found = {}
    for text in given or []:
        name, equals, file = text.rpartition("=")
        found[name if equals else endpoint] = read_mapping(Path(file), field="--adapter")
    return found


def show_forecast(found: dict[str, Any]) -> None:
    """A dry run, for people."""
    for member in found["members"]:
        say(f"[bold]{escape(member['endpoint'])}[/]: {member['baseline']} → {member['candidate']}")
    today = found["forecast"]["today"]
    if today is None:
        say("nobody called in the last hour: how long it takes cannot be told")
    else:
        say(
            f"today {today['calls_per_second']:.3g} calls/s of {today['users_per_second']:.3g} users/s, "
            f"{100 * today['error_rate']:.2g} % failed"
        )
    say("")
    table(
        ("step", "takes about", "waits for"),
        [(step["name"], _time(step["seconds"]), step["waits_for"]) for step in found["forecast"]["steps"]],
        empty="no step",
    )
    whole = found["forecast"]["seconds"]
    say("")
    say(f"all in all about {_time(whole)}" if whole is not None else "how long in all depends on what cannot be told")
    say(f"a harmless candidate is rolled back with a probability of at most {100 * found['plan']['alpha']:g} %")
    if sights := found["forecast"]["sights"]:
        say("")
        table(
            ("metric", "share", "stops x2 after", "x4", "x10", "smallest harm it sees"),
            [_sight(sight) for sight in sights],
            empty="",
        )


def _sight(sight: dict[str, Any]) -> tuple[str, ...]:
    stops = [_time(sight["seconds_to_stop"][ratio]) for ratio in ("x2", "x4", "x10")]
    smallest = sight["smallest_ratio"]
    sees = f"x{smallest:.3g} in {_time(sight['seconds'])}" if smallest else "none in the time of the step"
    return sight["metric"], f"{100 * sight['share']:g} %", *stops, sees


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s"
