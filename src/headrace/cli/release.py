"""`headrace release`: move an endpoint's traffic to another version, as evidence allows.

`headrace release digits --candidate models:/digits/2` starts one and watches it; it is short for `release start …`.
The other commands look at a release or decide in its place. All take the id of a release or the name of its endpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from headrace.cli.deploy import DESCRIPTIONS
from headrace.cli.diff import show_diff
from headrace.cli.documents import read_mapping
from headrace.cli.options import ControlUrl, Home, Json, Reason, admin
from headrace.cli.releaseplan import (
    Adapters,
    Alpha,
    Also,
    MinUnits,
    PlanFile,
    Shares,
    StepSeconds,
    StrategyOption,
    adapters_of,
    pairs_of,
    plan_of,
    show_forecast,
)
from headrace.cli.releasetree import follow
from headrace.cli.releasewords import ending, exit_of, reason_of, share_of, show_release
from headrace.cli.results import show_results
from headrace.cli.show import Progress, ago, emit, progress, say, share, table
from headrace.client.admin import Admin
from headrace.types.errors import BadInput, NotFound
from headrace.types.release import Phase
from headrace.types.strategy import Strategy

_LOOK_SECONDS = 0.4
CANDIDATE = "models:/NAME/VERSION, @ALIAS or stage; or a YAML file that describes a service or a chat model."

Which = Annotated[str, typer.Argument(metavar="RELEASE", help="Id of a release, or an endpoint: its newest one.")]


class StartsByName(TyperGroup):
    """`release digits …` means `release start digits …`. An endpoint called "status" needs the long form."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["start", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=StartsByName,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Release a version: headrace release ENDPOINT --candidate models:/NAME/VERSION --canary",
)


@app.command()
def start(  # noqa: PLR0913 - each option of a command is an argument
    endpoint: Annotated[str, typer.Argument(help="Whose traffic moves.")],
    candidate: Annotated[str, typer.Option("--candidate", help=CANDIDATE)],
    canary: Annotated[bool, typer.Option("--canary", help="What it is anyway: a growing share of users.")] = False,
    strategy: StrategyOption = None,
    file: PlanFile = None,
    also: Also = None,
    shares: Shares = None,
    step_seconds: StepSeconds = None,
    min_units: MinUnits = None,
    alpha: Alpha = None,
    adapter: Adapters = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Start it and return; do not watch.")] = False,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Start a release and watch it to its end. Exit status 0: promoted; 1: rolled back or failed; 4: paused.

    \b
    Example:
        headrace release digits --candidate models:/digits/2 --canary
        headrace release start digits --candidate models:/digits/2 --step-seconds 30 --detach
        headrace release digits --candidate models:/digits/2 --strategy blue-green
        headrace release digits --candidate models:/digits/2 --plan plan.yaml --also rank=models:/rank/7
        headrace release churn --candidate models:/churn/4 --canary --adapter adapter.yaml
        headrace release assistant --candidate cheaper.yaml --canary
    """
    if canary and strategy not in (None, Strategy.CANARY):
        raise BadInput(f"--canary and --strategy {strategy} exclude each other", field="--strategy")
    given = plan_of(file, strategy=strategy, shares=shares, min_seconds=step_seconds, min_units=min_units, alpha=alpha)
    described = read_mapping(Path(candidate), field="--candidate") if candidate.endswith(DESCRIPTIONS) else None
    with admin(home, url) as control, progress(f"preparing {candidate}", quiet=json) as tell:
        release = control.release(
            endpoint,
            control.describe(endpoint, described)["uri"] if described else candidate,
            plan=given,
            also=pairs_of(also),
            adapters=adapters_of(endpoint, adapter),
            on_progress=tell,
        )
        if not detach:
            release = watch(lambda: control.find_release(release["id"]), tell)
    if json:
        emit(release)
    elif detach:
        say(f"started [bold]{release['id']}[/]; watch it with headrace release watch {release['id']}")
    else:
        say(ending(release))
    if not detach:
        raise typer.Exit(exit_of(release))


@app.command()
def plan(  # noqa: PLR0913 - each option of a command is an argument
    endpoint: Annotated[str, typer.Argument(help="Whose traffic would move.")],
    candidate: Annotated[str, typer.Option("--candidate", help="models:/NAME/VERSION, @ALIAS or stage.")],
    strategy: StrategyOption = None,
    file: PlanFile = None,
    also: Also = None,
    shares: Shares = None,
    step_seconds: StepSeconds = None,
    min_units: MinUnits = None,
    alpha: Alpha = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="As it is anyway: nothing begins.")] = True,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Say what a release would do, how long it would take at today's traffic, and the smallest harm it could see.

    \b
    Example:
        headrace release plan digits --candidate models:/digits/2 --dry-run
        headrace release plan digits --candidate models:/digits/2 --strategy ab --min-units 5000
    """
    given = plan_of(file, strategy=strategy, shares=shares, min_seconds=step_seconds, min_units=min_units, alpha=alpha)
    with admin(home, url) as control:
        found = control.dry_run(endpoint, candidate, plan=given, also=pairs_of(also))
    emit(found) if json else show_forecast(found)


@app.command("watch")
def watch_(which: Which, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Watch a release to its end. Exit status as for start.

    \b
    Example:
        headrace release watch digits
    """
    with admin(home, url) as control, progress("watching", quiet=json) as tell:
        found = find(control, which)["id"]
        release = watch(lambda: control.find_release(found), tell)
    emit(release) if json else say(ending(release))
    raise typer.Exit(exit_of(release))


@app.command("list")
def list_(
    endpoint: Annotated[str | None, typer.Option("--endpoint", "-e", help="Of this endpoint alone.")] = None,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """List releases, the newest first.

    \b
    Example:
        headrace release list --endpoint digits
    """
    with admin(home, url) as control:
        found = control.releases(endpoint=endpoint)
    if json:
        emit(found)
        return
    table(
        ("release", "endpoint", "candidate", "phase", "share", "started"),
        [
            (r["id"], r["endpoint"], r["candidate"], r["phase"].replace("_", " "), share_of(r), ago(r["created"]))
            for r in found
        ],
        empty="no release yet: headrace release ENDPOINT --candidate models:/NAME/VERSION --canary",
    )


@app.command()
def status(
    which: Which,
    watch_it: Annotated[bool, typer.Option("--watch", "-w", help="Keep it up to date until it has ended.")] = False,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Show where a release stands, why, and what happened so far. With --watch: as a tree, until it has ended.

    \b
    Example:
        headrace release status digits
        headrace release status digits --watch
        headrace release status digits --watch --json
    """
    with admin(home, url) as control:
        release = find(control, which)
        if watch_it:
            ended = follow(lambda: control.release_status(release["id"]), as_json=json)
            raise typer.Exit(exit_of(ended))
    if json:
        emit(release)
    else:
        show_release(release)


@app.command()
def diff(
    which: Which,
    by: Annotated[str, typer.Option("--by", help="Rates by this input column or kept header.")] = "",
    value: Annotated[str, typer.Option("--value", help="With --by: pairs of this segment alone.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", help="So many pairs.")] = 20,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Show what a shadow would have answered otherwise, the worst first.

    \b
    Example:
        headrace release diff loans --by region
    """
    with admin(home, url) as control:
        found = control.pairs(find(control, which)["id"], by=by, value=value, limit=limit)
    emit(found) if json else show_diff(found)


@app.command()
def pause(which: Which, reason: Reason = "", home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Freeze a release: shares stay as they are until it is resumed.

    \b
    Example:
        headrace release pause digits --reason "marketing campaign"
    """
    _act(which, lambda control, found: control.pause(found, reason=reason), home=home, url=url, json=json)


@app.command()
def resume(which: Which, reason: Reason = "", home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Let a paused release go on where it stood.

    \b
    Example:
        headrace release resume digits
    """
    _act(which, lambda control, found: control.resume(found, reason=reason), home=home, url=url, json=json)


@app.command()
def promote(which: Which, reason: Reason = "", home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Give the candidate all traffic now, whatever the evidence says.

    \b
    Example:
        headrace release promote digits --reason "tested by hand"
    """
    _act(which, lambda control, found: control.promote(found, reason=reason), home=home, url=url, json=json)


@app.command()
def abort(which: Which, reason: Reason = "", home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Give the baseline all traffic again, now.

    \b
    Example:
        headrace release abort digits --reason "wrong candidate"
    """
    _act(which, lambda control, found: control.abort(found, reason=reason), home=home, url=url, json=json)


@app.command()
def results(which: Which, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Show what a release found: per metric both versions, their difference, and the intervals that one may quote.

    \b
    Example:
        headrace release results digits
    """
    with admin(home, url) as control:
        release = find(control, which)
        found = control.results(release["id"])
    emit(found) if json else show_results(release, found)


@app.command()
def replay(which: Which, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Judge every decision of a release once more from its stored inputs. Exit status 1: one comes out differently.

    \b
    Example:
        headrace release replay digits
    """
    with admin(home, url) as control:
        found = control.replay(find(control, which)["id"])
    if json:
        emit(found)
    elif not found["differences"]:
        say(f"{found['intervals']:,} decisions, each as it was recorded, bit for bit")
    else:
        table(
            ("interval", "recorded", "replayed", "why"),
            [
                (d["number"], d["stored"]["judgement"]["verdict"], d["verdict"], d["reason"])
                for d in found["differences"]
            ],
            empty="",
        )
    raise typer.Exit(1 if found["differences"] else 0)


def watch(
    look: Callable[[], dict[str, Any]], tell: Progress, *, beside: Callable[[], str] = lambda: ""
) -> dict[str, Any]:
    """Tell each event as it happens, and on a terminal what the evidence says now; until nothing moves any more.

    `beside` adds what else goes on to the line that says what goes on now.
    """
    told = 0
    while True:
        release = look()
        for event in release["history"][told:]:
            told += 1
            at = f"{share(event['share'])}  " if event.get("share") else ""
            tell(f"{event['name'].replace('_', ' ')}  {at}{event['detail']}")
        phase = Phase(release["phase"])
        if phase.ended or phase is Phase.PAUSED:
            return release
        says = reason_of(release) or "gathering evidence"
        tell.now(f"{share_of(release)} of users on {release['candidate']}: {says}{beside()}")
        time.sleep(_LOOK_SECONDS)


def find(control: Admin, which: str) -> dict[str, Any]:
    if which.startswith("rel_"):
        return control.find_release(which)
    found = control.releases(endpoint=which)
    if not found:
        raise NotFound(
            f"there is no release of an endpoint {which!r}",
            field="release",
            hint="headrace release list shows them all",
        )
    return control.find_release(found[0]["id"])


def _act(which: str, action: Callable[[Admin, str], dict[str, Any]], *, home: Any, url: str | None, json: bool) -> None:
    with admin(home, url) as control:
        release = action(control, find(control, which)["id"])
    if json:
        emit(release)
    else:
        say(f"{release['id']} of {escape(release['endpoint'])} is now [bold]{release['phase'].replace('_', ' ')}[/]")
