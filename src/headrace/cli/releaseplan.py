"""The plan of a release as the command line says it: options, or a YAML file with the words of the admin API.

Called by release.py. Decides how options and a file come together: an option wins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from headrace.cli.documents import read_mapping
from headrace.types.errors import BadInput
from headrace.types.strategy import Strategy

_NAMES = ", ".join(strategy.value.replace("_", "-") for strategy in Strategy)

StrategyOption = Annotated[str | None, typer.Option("--strategy", help=f"{_NAMES}. Default: canary.")]
PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", metavar="FILE", help="YAML: strategy, shares or steps, metrics, …"),
]
Adapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="FILE",
        help="YAML: how the candidate takes and gives what callers know; ENDPOINT=FILE for one of --also.",
    ),
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
