"""`headrace dataset`: versions made from what people said; what is in them, what changed, where each row is from.

Called by people and scripts; the control plane makes and keeps them.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.cli.options import ControlUrl, Home, Json, admin
from headrace.cli.show import ago, emit, note, say, table
from headrace.cli.traces import short
from headrace.types.dataset import Split
from headrace.types.errors import BadInput

app = typer.Typer(
    help="Dataset versions: made from what people said, compared, traced back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Name = Annotated[str, typer.Argument(help="name@number, a name (the newest), or an id.")]


@app.command()
def make(  # noqa: PLR0913 - each option of a command is an argument
    model: Annotated[str, typer.Argument(help="Registered model.")],
    name: Annotated[str | None, typer.Option("--name", help="Of the dataset; default: the model's.")] = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", "-e", help="Of this endpoint alone.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Calls from this time on: ISO 8601, or seconds.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Before this time.")] = None,
    off: Annotated[list[str] | None, typer.Option("--off", help="Switch a rule off; may be repeated.")] = None,
    rule: Annotated[
        list[str] | None, typer.Option("--rule", help="Set an option, such as cap.rows=50; may be repeated.")
    ] = None,
    held: Annotated[float | None, typer.Option("--held", help="Share of users held out.")] = None,
    validation: Annotated[float | None, typer.Option("--validation", help="Share of users for validation.")] = None,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Make a version: what people said, curated, split by user. The same words make the same version.

    \b
    Example:
        headrace dataset make digits
        headrace dataset make digits --off praise --rule cap.rows=50 --from 2026-01-01
    """
    recipe = {"name": name, "endpoint": endpoint, "since": since, "until": until, "held": held}
    rules = _rules(off or [], rule or [])
    with admin(home, url, timeout=600.0) as control:
        made = control.make_dataset(model, **recipe, validation=validation, rules=rules)
    emit(made) if json else _show(made)


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(help="Of this dataset alone.")] = None,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """List dataset versions, the newest first.

    \b
    Example:
        headrace dataset list
    """
    with admin(home, url) as control:
        found = control.datasets(name)
    if json:
        emit(found)
        return
    table(
        ("dataset", "made", "rows", "corrected", *(split.value for split in Split), "id"),
        [
            (
                f"{d['name']}@{d['number']}",
                ago(d["created"]),
                d["rows"],
                d["corrected"],
                *(next((f["rows"] for f in d["files"] if f["split"] == split), 0) for split in Split),
                d["id"][:15],
            )
            for d in found
        ],
        empty="no dataset yet: headrace dataset make MODEL",
    )


@app.command()
def show(name: Name, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Show a version: its splits, and what every rule did.

    \b
    Example:
        headrace dataset show digits@2
    """
    with admin(home, url) as control:
        found = control.dataset(name)
    emit(found) if json else _show(found)


@app.command()
def rows(
    name: Name,
    split: Annotated[str, typer.Option("--split", "-s", help="train, validation, fresh, golden, critique.")] = "train",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000)] = 20,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="All rows of the split, as JSON lines.")] = None,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Look at the rows of a split, or write all of them to a file.

    \b
    Example:
        headrace dataset rows digits@2 --split golden
        headrace dataset rows digits --out train.jsonl
    """
    with admin(home, url, timeout=600.0) as control:
        if out is not None:
            partial = out.with_name(f".{out.name}.part")
            try:
                with partial.open("wb") as file:
                    control.download_dataset(name, split, file.write)
                partial.replace(out)
            finally:
                partial.unlink(missing_ok=True)
            note(f"wrote {escape(str(out))}, {out.stat().st_size:,} bytes")
            return
        found = control.dataset_rows(name, split=split, limit=limit)
    if json:
        emit(found)
        return
    told = "critique" if split == Split.CRITIQUE else "label"
    table(
        ("row", "input", "output", told, "rule", "trace"),
        [(r["row"], short(r["inputs"]), short(r["output"]), short(r[told]), r["rule"], r["trace_id"]) for r in found],
        empty=f"the split {split} of this version has no row",
    )


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="name@number or id.")],
    after: Annotated[str, typer.Argument(help="name@number or id.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, max=10_000)] = 20,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Compare two versions row by row.

    \b
    Example:
        headrace dataset diff digits@1 digits@2
    """
    with admin(home, url, timeout=600.0) as control:
        found = control.dataset_diff(before, after, limit=limit)
    if json:
        emit(found)
        return
    say(", ".join(f"{found[name]:,} {name}" for name in ("added", "removed", "changed", "same")))
    lines = [("+", r["row"], r["split"], r["rule"], r["trace_id"]) for r in found["added_rows"]]
    lines += [("-", r["row"], r["split"], r["rule"], r["trace_id"]) for r in found["removed_rows"]]
    lines += [("~", r["row"], _change(r), "", r["trace_id"]) for r in found["changed_rows"]]
    if lines:
        table(("", "row", "what", "rule", "trace"), lines, empty="")


@app.command("where-from")
def where_from(
    name: Name,
    row: Annotated[str, typer.Argument(help="Id of a row, or a trace id.")],
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Trace a row back: which call, which version answered, whose words made it what it is.

    \b
    Example:
        headrace dataset where-from digits@2 row_0192f0c1a2b3c4d5e6f70123
    """
    with admin(home, url) as control:
        found = control.dataset_origin(name, row)
    if json:
        emit(found)
        return
    origin, values, words = found["origin"], found["values"], found["words"]
    at = datetime.fromtimestamp(origin["time"]).astimezone().isoformat(sep=" ", timespec="seconds")
    say(f"[bold]{origin['row']}[/] is in {origin['split']} by the rule {origin['rule']}")
    say(f"  call      {origin['trace_id']}, row {origin['index']}, at {at}")
    say(f"  answered  {escape(origin['endpoint'])} version {origin['version']}: {escape(short(values['output'], 200))}")
    say(f"  label     {escape(short(values['label'], 200))}")
    if found["call"] is None:
        note("  the call itself is past the journal's retention")
    table(
        ("said", "value", "by", "when", ""),
        [
            (w["name"], short(w["value"]), w["rater"], ago(w["time"]), _standing(w, origin["feedback"], words))
            for w in words
        ],
        empty="what was said is not kept any more",
    )


@app.command()
def freeze(name: Name, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Freeze the held-out rows of a version as the golden set of its name.

    Results that were measured on another golden set are not comparable with later ones.

    \b
    Example:
        headrace dataset freeze digits@7
    """
    with admin(home, url) as control:
        found = control.freeze_dataset(name)
    if json:
        emit(found)
    else:
        say(f"the golden set has {found['file']['rows']:,} rows")


def _rules(off: list[str], options: list[str]) -> dict[str, Any] | None:
    rules: dict[str, Any] = dict.fromkeys(off, False)
    for text in options:
        target, equals, value = text.partition("=")
        rule, dot, option = target.partition(".")
        if not (equals and dot and option and _is_number(value)):
            raise BadInput(f"--rule is {text!r}; allowed: RULE.OPTION=NUMBER, such as cap.rows=50", field="--rule")
        if rules.get(rule) is False:
            raise BadInput(f"the rule {rule!r} is switched off and set at once", field="--rule")
        rules.setdefault(rule, {})[option] = float(value)
    return rules or None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _show(version: dict[str, Any]) -> None:
    say(f"[bold]{escape(version['name'])}@{version['number']}[/]  {version['rows']:,} rows  {version['id']}")
    say("  " + ", ".join(f"{file['split']} {file['rows']:,}" for file in version["files"]))
    report = version.get("report")
    if report is None:
        return
    table(
        ("rule", "seen", "kept", "changed", "left out because"),
        [
            (
                r["name"] if r["on"] else f"{r['name']} (off)",
                r["seen"],
                r["kept"],
                r["changed"],
                ", ".join(f"{why}: {count}" for why, count in r["why"].items()),
            )
            for r in report["rules"]
        ],
        empty="",
    )
    for rater, why in report["distrusted"].items():
        say(f"  not believed: {escape(rater)}: {escape(why)}")
    if report["disputed"]:
        note(f"  {len(report['disputed'])} disputed traces wait for review")
    if report["misfits"]:
        note(f"  {report['misfits']} corrections fit no row of their call")


def _change(change: dict[str, Any]) -> str:
    before, after = change["before"], change["after"]
    return ", ".join(f"{name} {short(before.get(name), 20)} → {short(value, 20)}" for name, value in after.items())


def _standing(word: dict[str, Any], used: list[str], words: list[dict[str, Any]]) -> str:
    if word.get("withdrawn"):
        return "taken back"
    if any(other["id"] == word["id"] and other["time"] > word["time"] for other in words):
        return "changed later"
    return "in this row" if word["id"] in used else ""
