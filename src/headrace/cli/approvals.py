"""`headrace approvals`, `approve`, `refuse` and `undo`: what a second person says, and the way back.

Called by people. What needs a second person is a setting of an endpoint: headrace endpoint set NAME approvals.…
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.cli.options import ControlUrl, Home, Json, Reason, admin
from headrace.cli.show import ago, duration, emit, progress, say, table

Request = Annotated[str, typer.Argument(metavar="REQUEST", help="Such as apr_9f2k…: headrace approvals.")]


def approvals(
    state: Annotated[str | None, typer.Option("--state", help="pending, approved, done, refused or expired.")] = None,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """List what waits for a second person, and what became of it; the newest first.

    \b
    Example:
        headrace approvals --state pending
    """
    with admin(home, url) as control:
        found = control.approvals(state=state)
    if json:
        emit(found)
        return
    table(
        ("request", "by", "asked", "state", "yes", "what"),
        [
            (a["id"], a["actor"], ago(a["created"]), _state(a), f"{len(a['votes'])} of {a['people']}", _what(a))
            for a in found
        ],
        empty="nothing waits for a second person",
    )


def approve(
    request: Request, reason: Reason = "", home: Home = None, url: ControlUrl = None, json: Json = False
) -> None:
    """Say yes to what another person asked for. With the last yes that it needs, it is done.

    \b
    Example:
        headrace approve apr_9f2k7m3q --reason "looked at the evaluation"
    """
    with admin(home, url) as control, progress(f"approving {request}", quiet=json) as tell:
        done = control.approve(request, reason=reason, on_progress=tell)
    emit(done) if json else say(f"[bold]{_state(done)}[/]: {escape(done['sentence'])}")


def refuse(
    request: Request, reason: Reason = "", home: Home = None, url: ControlUrl = None, json: Json = False
) -> None:
    """Say no to a request, or take back your own.

    \b
    Example:
        headrace refuse apr_9f2k7m3q --reason "the evaluation is of last week"
    """
    with admin(home, url) as control:
        done = control.refuse(request, reason=reason)
    emit(done) if json else say(f"[bold]refused[/]: {escape(done['sentence'])}")


def undo(
    endpoint: Annotated[str, typer.Argument(help="Whose last traffic move is taken back.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and whether it is safe.")] = False,
    reason: Reason = "",
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Give traffic back to who had it before its last move. Refuses, and says why, when that is not safe.

    \b
    Example:
        headrace undo digits --dry-run
        headrace undo digits --reason "wrong version"
    """
    with admin(home, url) as control:
        found = control.find_undo(endpoint)
        if dry_run:
            emit(found) if json else _plan(found)
            return
        with progress(f"undoing {endpoint}", quiet=json) as tell:
            live = control.undo(endpoint, entry=found["entry"]["id"], reason=reason, on_progress=tell)
            seconds = tell.seconds
    if json:
        emit(live)
    else:
        say(f"[bold green]done[/] after {seconds:.1f} s: {escape(found['sentence'])}")


def _plan(found: dict[str, Any]) -> None:
    entry = found["entry"]
    say(f"would do: {escape(found['sentence'])}")
    say(f"takes back entry {entry['id']}: {entry['action']} by {escape(entry['actor'])}, {ago(entry['time'])}")
    say(f"  {escape(entry['detail'])}")


def _state(approval: dict[str, Any]) -> str:
    if approval["state"] == "done" and approval["failure"]:
        return "failed"
    if approval["state"] == "pending":
        return f"pending, {duration(max(0.0, approval['expires'] - time.time()))} left"
    return str(approval["state"])


def _what(approval: dict[str, Any]) -> str:
    why = approval["failure"] or approval["reason"]
    return f"{approval['sentence']} ({why})" if why else str(approval["sentence"])
