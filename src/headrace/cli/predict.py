"""`headrace predict`: one call to a running endpoint, as an application makes it.

Called by people who try a model, and by examples.
"""

from __future__ import annotations

import json as jsonlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from headrace.cli.options import DataUrl, Home, Json, headrace
from headrace.cli.show import emit, note, say
from headrace.cli.traces import parse


def predict(  # noqa: PLR0913 - each option of a command is an argument
    model: Annotated[str, typer.Argument(help="Endpoint.")],
    inputs: Annotated[str, typer.Argument(help="JSON: rows of values. @FILE reads a file, - standard input.")],
    user: Annotated[str | None, typer.Option("--user", "-u", help="Who asks; keeps a person on one variant.")] = None,
    version: Annotated[str | None, typer.Option("--version", help="Ask for this version.")] = None,
    stage: Annotated[str | None, typer.Option("--stage", help="Ask for this stage or @alias.")] = None,
    key: Annotated[str, typer.Option("--key", envvar="HEADRACE_KEY", help="API key. HEADRACE_KEY")] = "",
    home: Home = None,
    url: DataUrl = None,
    json: Json = False,
) -> None:
    """Ask a model once.

    \b
    Example:
        headrace predict digits '[[0,0,5,13,9,1,0,0,0,0,13,15,10,15,5,0, …]]' --user ann
        headrace predict digits @rows.json --version 2
    """
    rows = parse(_read(inputs), field="inputs")
    with headrace(home, url, key=key) as data:
        answer = data.predict(model, rows, user=user, stage=stage, version=version)
    if json:
        emit(asdict(answer))
    else:
        say(escape(jsonlib.dumps(answer.result, ensure_ascii=False)))
        note(f"[dim]{escape(model)} version {answer.model_version}, {answer.latency_ms:.2f} ms, {answer.trace_id}[/]")


def _read(inputs: str) -> str:
    if inputs == "-":
        return sys.stdin.read()
    return Path(inputs[1:]).read_text() if inputs.startswith("@") else inputs
