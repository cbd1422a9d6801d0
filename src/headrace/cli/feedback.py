"""`headrace feedback`: say what answers were worth, one by one or from a file; list it, take it back.

Called by people and scripts; `headrace feedback TRACE --down` is short for `give`. Words go to the data plane, where
they are on disk before the command returns; the list comes from the control plane.
"""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from headrace.cli.options import ControlUrl, DataUrl, Home, Json, admin, headrace
from headrace.cli.show import ago, emit, note, say, table
from headrace.cli.traces import short
from headrace.cli.upload import BATCH, Upload
from headrace.types.errors import BadInput


class GiveFirst(TyperGroup):
    """What is no command is a trace: give."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["give", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=GiveFirst,
    help="Say what answers were worth: one by one, or from a file; list it, take it back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Trace = Annotated[str, typer.Argument(help="From the answer, or its header x-headrace-trace.")]
Rater = Annotated[str | None, typer.Option("--rater", help="Who says so.")]


@app.command()
def give(  # noqa: PLR0913 - each option of a command is an argument
    trace_id: Trace,
    up: Annotated[bool, typer.Option("--up", help="Thumbs up.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Thumbs down.")] = False,
    correct: Annotated[str | None, typer.Option("--correct", help="What the output should have been, as JSON.")] = None,
    comment: Annotated[str | None, typer.Option("--comment", help="In words.")] = None,
    reason: Annotated[
        list[str] | None, typer.Option("--reason", help="Why thumbs up or down, such as unsafe; may be repeated.")
    ] = None,
    rater: Rater = None,
    home: Home = None,
    url: DataUrl = None,
    json: Json = False,
) -> None:
    """Say what a call was worth. It is on disk when this returns.

    \b
    Example:
        headrace feedback give tr-0192f0c1a2b3c4d5e6f70123456789ab --down --reason unsafe
        headrace feedback tr-0192f0c1a2b3c4d5e6f70123456789ab --down --correct 3
    """
    if up and down:
        raise BadInput("--up and --down exclude each other", field="user_rating")
    if not (up or down or correct is not None or comment):
        raise BadInput("nothing was said", hint="give --up, --down, --correct or --comment")
    if reason and not (up or down):
        raise BadInput("--reason says why thumbs are up or down", field="--reason", hint="give --up or --down too")
    rating = up if up or down else None
    corrected = parse(correct, field="--correct") if correct is not None else None
    with headrace(home, url) as data:
        ids = data.feedback(
            trace_id, rating=rating, correction=corrected, comment=comment, rater=rater, reasons=reason or ()
        )
    _kept(trace_id, ids, json=json)


@app.command()
def withdraw(  # noqa: PLR0913 - each option of a command is an argument
    trace_id: Trace,
    rating: Annotated[bool, typer.Option("--rating", help="Only the thumbs.")] = False,
    correction: Annotated[bool, typer.Option("--correction", help="Only the correction.")] = False,
    comment: Annotated[bool, typer.Option("--comment", help="Only the comment.")] = False,
    rater: Rater = None,
    home: Home = None,
    url: DataUrl = None,
    json: Json = False,
) -> None:
    """Take back what was said of a call. It stays in the history, and counts no more.

    \b
    Example:
        headrace feedback withdraw tr-0192f0c1a2b3c4d5e6f70123456789ab --rater ann
    """
    chosen = (("user_rating", rating), ("corrected_output", correction), ("comment", comment))
    with headrace(home, url) as data:
        ids = data.withdraw_feedback(trace_id, names=[name for name, on in chosen if on], rater=rater)
    _kept(trace_id, ids, json=json)


@app.command()
def upload(
    file: Annotated[Path, typer.Argument(help="CSV with a header line, or JSON lines.")],
    again: Annotated[bool, typer.Option("--again", help="From the first row, whatever was sent before.")] = False,
    home: Home = None,
    url: DataUrl = None,
    json: Json = False,
) -> None:
    """Send what is in a file: trace_id, and user_rating, corrected_output, comment, reasons, rater, source, time.

    Good rows are kept and wrong ones are written to FILE.errors.jsonl with what was wrong. When it is broken off, the
    same command goes on where it was; to send a row twice changes nothing.

    \b
    Example:
        headrace feedback upload labels.csv
    """
    work = Upload(file, again=again)
    if work.done:
        note(f"going on after row {work.done:,}")
    with headrace(home, url, timeout=120.0) as data:
        for rows in work.batches(BATCH):
            accepted, errors = data.feedback_batch(rows)
            work.record(accepted, errors)
    told = work.finish()
    if json:
        emit(told)
        return
    say(f"kept {told['accepted']:,} of {told['rows']:,} rows")
    if told["wrong"]:
        say(f"{told['wrong']:,} were wrong: {escape(told['errors'])}")
        raise typer.Exit(1)


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Option("--name", help="user_rating, corrected_output or comment.")] = None,
    trace: Annotated[str | None, typer.Option("--trace", help="All that was ever said of this one.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 30,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """List what people said, the newest first.

    \b
    Example:
        headrace feedback list --name corrected_output
        headrace feedback list --trace tr-0192f0c1a2b3c4d5e6f70123456789ab
    """
    with admin(home, url) as control:
        found = control.feedback_history(trace) if trace else control.feedback(name=name, limit=limit)
    if json:
        emit(found)
        return
    table(
        ("trace", "when", "what", "value", "why", "by", "how"),
        [
            (
                f["trace_id"],
                ago(f["time"]),
                f["name"],
                "taken back" if f.get("withdrawn") else short(f.get("value")),
                ", ".join(f.get("reasons") or ()) or f.get("comment", ""),
                f["rater"],
                f.get("channel") or f.get("source", ""),
            )
            for f in found
        ],
        empty="nobody has said anything yet: headrace feedback TRACE --down --correct 3",
    )


def parse(text: str, *, field: str) -> Any:
    try:
        return jsonlib.loads(text)
    except ValueError as error:
        raise BadInput(f"{text[:80]!r} is not JSON: {error}", field=field, hint="quote it for your shell") from error


def _kept(trace_id: str, ids: tuple[str, ...], *, json: bool) -> None:
    if json:
        emit({"trace_id": trace_id, "feedback": ids})
    else:
        say(f"kept {len(ids)} on {escape(trace_id)}")
