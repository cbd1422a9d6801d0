"""A release as a tree that keeps itself up to date: `headrace release status --watch`.

Called by release.py. Draws what GET /api/v1/releases/{id}/status says; decides nothing. On a terminal it is drawn in
place; elsewhere a line is written whenever something has changed, with --json one document a line.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.tree import Tree

from headrace.cli.show import ago, duration, out, share
from headrace.types.release import Phase

MARKS = {"done": "[green]✔[/]", "current": "[yellow]◐[/]", "waiting": "[dim]○[/]", "stopped": "[red]✖[/]"}
PHASES = {
    Phase.PREPARING: "[cyan]◌ preparing[/]",
    Phase.PROGRESSING: "[yellow]◐ progressing[/]",
    Phase.PAUSED: "[blue]‖ paused[/]",
    Phase.PROMOTED: "[green]✔ promoted[/]",
    Phase.ROLLED_BACK: "[red]✖ rolled back[/]",
    Phase.ABORTED: "[red]✖ aborted[/]",
    Phase.FAILED: "[red]✖ failed[/]",
}
ROLES = {"baseline": "[blue]●[/]", "candidate": "[yellow]◆[/]", "loaded": "[dim]·[/]"}
READINGS = {"harm": "[red]harm[/]", "proven": "[green]proven[/]", "open": "[dim]open[/]"}
LOOK_SECONDS = 1.0


def follow(look: Callable[[], dict[str, Any]], *, as_json: bool) -> dict[str, Any]:
    """Until it has ended; answers what it was then."""
    console = out()
    if as_json or not console.is_terminal:
        return _lines(look, console, as_json=as_json)
    found = look()
    with Live(tree(found), console=console, auto_refresh=False) as live:
        while not Phase(found["phase"]).ended:
            time.sleep(LOOK_SECONDS)
            found = look()
            live.update(tree(found), refresh=True)
    return found


def _lines(look: Callable[[], dict[str, Any]], console: Console, *, as_json: bool) -> dict[str, Any]:
    told: object = None
    while True:
        found = look()
        now = (found["phase"], found["step"], found["message"])
        if now != told:
            told = now
            if as_json:
                sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
                sys.stdout.flush()
            else:
                step = f"step {found['step']} of {found['of']}"
                console.print(f"{_plain(found['phase'])}  {step}  {share(found['set_weight'])}  {found['message']}")
        if Phase(found["phase"]).ended:
            return found
        time.sleep(LOOK_SECONDS)


def tree(found: dict[str, Any]) -> Tree:
    phase = PHASES[Phase(found["phase"])]
    root = Tree(
        f"[bold]{escape(found['endpoint'])}[/]  {escape(found['baseline'])} → {escape(found['candidate'])}  {phase}"
        f"  [dim]{found['id']}, {_plain(found['strategy'])}, by {escape(found['actor'])},"
        f" {duration(max(0.0, (found['ended'] or found['time']) - found['started']))}[/]",
        guide_style="dim",
    )
    if found["message"]:
        root.add(escape(found["message"]))
    steps = root.add(f"Steps  [dim]{found['step']} of {found['of']}[/]")
    for step in found["steps"]:
        steps.add(_step(step))
    for endpoint in found["endpoints"]:
        _endpoint(root.add(f"Traffic of {escape(endpoint['name'])}  [dim]plan {endpoint['revision']}[/]"), endpoint)
    if found["metrics"]:
        _metrics(root.add("Evidence  [dim]e-value against the candidate, and where it rolls back[/]"), found["metrics"])
    history = root.add("History")
    for event in found["events"]:
        history.add(f"[dim]{ago(event['time'])}[/]  {_plain(event['name'])}  {escape(event['detail'])}")
    return root


def _step(step: dict[str, Any]) -> str:
    line = f"{MARKS[step['mark']]} {escape(step['name'])}"
    if step["mark"] != "current":
        return line
    parts = [f"{duration(step['seconds'])} of at least {duration(step['min_seconds'])}"]
    if step["min_units"]:
        parts.append(f"{step['units']:,} of {step['min_units']:,} users")
    if step["note"]:
        parts.append(escape(step["note"]))
    return f"{line}  [dim]{' · '.join(parts)}[/]"


def _endpoint(branch: Tree, endpoint: dict[str, Any]) -> None:
    for variant in endpoint["variants"]:
        seen = variant["seen"]
        figures = f"set {share(variant['set'])}, seen {100 * variant['actual']:.1f} %"
        if seen["calls"]:
            p99 = f", p99 {seen['p99_ms']:.1f} ms" if seen["p99_ms"] is not None else ""
            figures += f"  {seen['rate']:.1f}/s, errors {100 * seen['errors']:.2f} %{p99}"
        stage = "" if variant["stage"] == "None" else f", {variant['stage']}"
        branch.add(
            f"{ROLES[variant['role']]} [bold]{escape(variant['name'])}[/] {variant['role']}  {figures}"
            f"  [dim]{escape(variant['uri'])}{stage}[/]"
        )


def _metrics(branch: Tree, metrics: list[dict[str, Any]]) -> None:
    width = max(len(metric["name"]) for metric in metrics)
    for metric in metrics:
        limit = _number(metric["log_limit"]) if metric["log_limit"] else "never"
        (events, units), (their_events, their_units) = metric["candidate"], metric["baseline"]
        branch.add(
            f"{metric['name']:{width}}  {_number(metric['log_harm']):>8} of {limit:8} {READINGS[metric['reading']]}"
            f"  [dim]{events:,} of {units:,} users, baseline {their_events:,} of {their_units:,}[/]"
        )


def _number(log_e: float) -> str:
    """An e-value from its logarithm, which can be that of a number too large for a float."""
    return f"{math.exp(log_e):,.3g}" if log_e < 11.5 else f"10^{log_e / math.log(10):.0f}"


def _plain(word: str) -> str:
    return word.replace("_", " ")
