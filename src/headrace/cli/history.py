"""`headrace history`: what was done to traffic, stages and aliases; by whom, why, and on what evidence.

Called by people and auditors. Decides only how it is shown: the control plane keeps and finds it.
"""

from __future__ import annotations

import math
import re
import time
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.cli.options import ControlUrl, Home, Json, admin
from headrace.cli.show import ago, emit, fail, say, share, table
from headrace.types.errors import BadInput

_AGES = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LN10 = math.log(10)


def history(  # noqa: PLR0913 - each filter of a command is an argument
    endpoint: Annotated[str | None, typer.Argument(help="What was done to this endpoint alone.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="To this registered model.")] = None,
    release: Annotated[str | None, typer.Option("--release", help="By or to this release.")] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="By this person or part of the platform.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Such as stage.move, or release.* for a kind.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="A moment or an age: 2026-11-21, 2h, 7d.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Before this moment or age.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 30,
    entry: Annotated[int | None, typer.Option("--entry", help="All about this one.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Prove that no entry was changed or taken out.")] = False,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Show what was done: who, when, why, and on what evidence; the newest first.

    \b
    Example:
        headrace history digits --since 7d
        headrace history --model digits --action stage.move
        headrace history --entry 42
        headrace history --check
    """
    with admin(home, url, timeout=300.0) as control:
        if check:
            _check(control.check_history(), json=json)
            return
        if entry is not None:
            found = control.history_entry(entry)
            emit(found) if json else _show(found)
            return
        page = control.history(
            endpoint=endpoint,
            model=model,
            release=release,
            actor=actor,
            action=action,
            since=moment(since, "--since"),
            until=moment(until, "--until"),
            limit=limit,
        )
    emit(page) if json else _list(page)


def moment(text: str | None, field: str) -> float | None:
    """2h means two hours ago. Raises BadInput."""
    if text is None:
        return None
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip()):
        return time.time() - float(found[1]) * _AGES[found[2]]
    try:
        return datetime.fromisoformat(text.strip()).astimezone().timestamp()
    except ValueError as error:
        raise BadInput(
            f"{text!r} is no moment", field=field, hint="such as 2026-11-21, 2026-11-21T14:05, 30m, 2h, 7d"
        ) from error


def _list(entries: list[dict[str, Any]]) -> None:
    table(
        ("entry", "when", "by", "what", "to", "detail"),
        [(e["id"], ago(e["time"]), e["actor"], e["action"], _subject(e), _detail(e)) for e in entries],
        empty="nothing of this kind was done",
    )


def _show(entry: dict[str, Any]) -> None:
    about = entry["about"]
    at = datetime.fromtimestamp(entry["time"]).astimezone().isoformat(sep=" ", timespec="seconds")
    say(f"[bold]{escape(entry['action'])}[/] of {escape(entry['subject'])} by {escape(entry['actor'])}, {at}")
    say(escape(entry["detail"]))
    facts = (
        ("why", about.get("reason")),
        ("approved by", ", ".join(about.get("approvers") or [])),
        ("traffic before", _traffic(about.get("before")) if about.get("after") else ""),
        ("traffic after", _traffic(about.get("after")) if about.get("before") or about.get("after") else ""),
        ("plan", about.get("revision")),
        ("takes back", about.get("undoes") and f"entry {about['undoes']}"),
        ("seal", entry["sha256"]),
    )
    for name, value in facts:
        if value:
            say(f"  [dim]{name:14}[/] {escape(str(value))}")
    if about.get("evidence"):
        say("")
        table(
            ("metric", "baseline", "candidate", "e-value", "rolls back at"),
            [_metric(seen) for seen in about["evidence"]],
            empty="",
        )


def _check(chain: dict[str, Any], *, json: bool) -> None:
    if json:
        emit(chain)
    elif chain["broken"]:
        fail(f"entry {chain['broken']} is not as it was written, or one before it is missing")
    else:
        say(f"[bold green]intact[/]: {chain['entries']:,} entries, seal {chain['head'] or 'none'}")
    if chain["broken"]:
        raise typer.Exit(1)


def _subject(entry: dict[str, Any]) -> str:
    about, subject = entry["about"], str(entry["subject"])
    if subject.startswith("release:") and about.get("endpoint"):
        return f"{about['endpoint']} ({subject.removeprefix('release:')})"
    return subject.partition(":")[2] or subject


def _detail(entry: dict[str, Any]) -> str:
    reason = entry["about"].get("reason") or ""
    return f"{entry['detail']} ({reason})" if reason and reason not in entry["detail"] else str(entry["detail"])


def _traffic(holdings: list[dict[str, Any]] | None) -> str:
    return ", ".join(f"{one['variant']} {share(one['share'])}" for one in holdings or []) or "nobody"


def _metric(seen: dict[str, Any]) -> tuple[str, ...]:
    baseline, candidate = (f"{seen[f'{who}_events']} of {seen[f'{who}_units']}" for who in ("baseline", "candidate"))
    return (seen["metric"], baseline, candidate, _number(seen["log_harm"]), _number(seen["log_limit"]))


def _number(log_e: float) -> str:
    """An e-value from its logarithm, which can be that of a number too large for a float."""
    return f"{math.exp(log_e):,.3g}" if log_e < 5 * _LN10 else f"10^{log_e / _LN10:.0f}"
