"""`headrace traces` and `export`: what was asked, and what people said about it as a data set.

Called by people and scripts. Both come from the control plane.
"""

from __future__ import annotations

import json as jsonlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.cli.options import ControlUrl, Home, Json, admin
from headrace.cli.show import ago, emit, note, say, table
from headrace.types.call import CallStatus
from headrace.types.errors import BadInput

FORMATS = ("csv", "jsonl", "parquet")


def traces(  # noqa: PLR0913 - each option of a command is an argument
    trace_id: Annotated[str | None, typer.Argument(help="Show this one.")] = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", "-e", help="Of this endpoint.")] = None,
    variant: Annotated[str | None, typer.Option("--variant", help="Answered by this variant, such as v2.")] = None,
    status: Annotated[CallStatus | None, typer.Option("--status", help="With this result.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many, the newest first.")] = 20,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """List calls, the newest first, or show one with its feedback.

    \b
    Example:
        headrace traces --endpoint digits --status failed
        headrace traces tr-0192f0c1a2b3c4d5e6f70123456789ab
    """
    with admin(home, url) as control:
        if trace_id:
            found: Any = control.trace(trace_id)
        else:
            found = control.traces(endpoint=endpoint, variant=variant, status=status, limit=limit)
    if json:
        emit(found)
    elif trace_id:
        _show(found)
    else:
        table(
            ("trace", "when", "endpoint", "variant", "status", "ms", "output"),
            [
                (
                    *(
                        c["trace_id"],
                        ago(c["time"]),
                        c["endpoint"],
                        c["variant"],
                        c["status"],
                        f"{c['latency_ms']:.2f}",
                    ),
                    short(c.get("error") or c.get("output")),
                )
                for c in found
            ],
            empty="no call yet: curl -X POST …/predict, or headrace predict MODEL INPUTS",
        )


def export(  # noqa: PLR0913 - each option of a command is an argument
    model: Annotated[str, typer.Argument(help="Registered model.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; without it: standard output.")] = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", "-e", help="Of this endpoint alone.")] = None,
    format: Annotated[str, typer.Option("--format", "-f", help="csv, jsonl or parquet.")] = "jsonl",  # noqa: A002
    rating: Annotated[str | None, typer.Option("--rating", help="up, down, corrected or any: these alone.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="From this time on: ISO 8601, or seconds.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Before this time; a mere date includes its day.")] = None,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Export calls with feedback as a data set; a correction wins over what the model said.

    \b
    Example:
        headrace export digits --format csv --out digits.csv
        headrace export digits --rating corrected --from 2026-01-01
    """
    if format not in FORMATS:
        raise BadInput(f"format is {format!r}; allowed: {', '.join(FORMATS)}", field="--format")
    selection = {"model": model, "endpoint": endpoint, "format": format, "rating": rating, "from": since, "to": until}
    with admin(home, url) as control:
        if out is None:
            headers = control.export(sys.stdout.buffer.write, **selection)
            sys.stdout.flush()
            return
        partial = out.with_name(f".{out.name}.part")
        try:
            with partial.open("wb") as file:
                headers = control.export(file.write, **selection)
            partial.replace(out)
        finally:
            partial.unlink(missing_ok=True)
    size = out.stat().st_size
    described = {name.removeprefix("x-headrace-"): value for name, value in headers.items() if "x-headrace-" in name}
    if json:
        emit({"file": str(out), "bytes": size} | described)
    else:
        say(f"wrote {escape(str(out))}, {size:,} bytes")
        note("\n".join(f"  {name}: {escape(value)}" for name, value in described.items()))


def _show(found: dict[str, Any]) -> None:
    call = found.get("call", found)
    call["time"] = datetime.fromtimestamp(call["time"], UTC).astimezone().isoformat(timespec="milliseconds")
    for name in ("trace_id", "time", "endpoint", "variant", "version", "status", "reason", "latency_ms", "error"):
        if call.get(name) not in (None, ""):
            say(f"  {name:<12} {escape(str(call[name]))}")
    for name in ("input", "output"):
        say(f"  {name:<12} {escape(short(call.get(name), 400))}")
    say("")
    table(
        ("feedback", "value", "comment", "by", "when"),
        [
            (f["name"], short(f["value"]), f.get("comment"), f.get("rater"), ago(f["time"]))
            for f in found.get("feedback", [])
        ],
        empty="no feedback",
    )


def short(value: Any, limit: int = 40) -> str:
    text = value if isinstance(value, str) else jsonlib.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"
