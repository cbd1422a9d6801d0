"""`headrace predict`: one call to a running endpoint, as an application makes it; or a whole file of them.

Called by people who try a model, by examples, and by scripts that score files. What a file needs is in scoring.py.
"""

from __future__ import annotations

import json as jsonlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.cli.feedback import parse
from headrace.cli.options import DataUrl, Home, Json, headrace
from headrace.cli.scoring import FileOptions, score_file, submit_file
from headrace.cli.show import emit, note, say
from headrace.types.errors import BadInput
from headrace.types.job import EngineName


def predict(  # noqa: PLR0913 - each option of a command is an argument
    model: Annotated[str | None, typer.Argument(help="Endpoint.")] = None,
    inputs: Annotated[
        str | None, typer.Argument(help="JSON: rows of values. @FILE reads a file, - standard input.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", help="Who asks; keeps a person on one variant.")] = None,
    version: Annotated[str | None, typer.Option("--version", help="Ask for this version.")] = None,
    stage: Annotated[str | None, typer.Option("--stage", help="Ask for this stage or @alias.")] = None,
    colour: Annotated[
        str, typer.Option("--colour", help="What was decided before: endpoint=variant, comma, …; endpoints follow it.")
    ] = "",
    key: Annotated[str, typer.Option("--key", envvar="HEADRACE_KEY", help="API key. HEADRACE_KEY")] = "",
    endpoint: Annotated[str | None, typer.Option("--endpoint", "-e", help="The same as the argument.")] = None,
    input: Annotated[  # noqa: A002 - the option's name
        Path | None, typer.Option("--input", "-i", metavar="FILE", help="Score this file: CSV, JSONL or Parquet.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where its rows go, with their answers.")
    ] = None,
    format: Annotated[  # noqa: A002
        str | None, typer.Option("--format", help="csv, jsonl or parquet; default: by the input's suffix.")
    ] = None,
    output_format: Annotated[str | None, typer.Option("--output-format", help="The same for the output.")] = None,
    features: Annotated[
        list[str] | None, typer.Option("--features", help="Columns that the model takes, or a pattern: 'pixel_*'.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="Columns to carry through, or a pattern; none: none. Default: all others."),
    ] = None,
    rows_per_call: Annotated[int, typer.Option("--rows-per-call", min=1, help="Rows sent at once.")] = 256,
    concurrency: Annotated[int, typer.Option("--concurrency", "-c", min=1, max=256, help="Calls at once.")] = 4,
    max_failed: Annotated[
        int, typer.Option("--max-failed", min=0, help="Stop when more rows than this have failed.")
    ] = 10_000,
    restart: Annotated[bool, typer.Option("--restart", help="From the first row; replaces what is there.")] = False,
    engine: Annotated[EngineName, typer.Option("--engine", help="Where calls are made: local, or Ray Data.")] = (
        EngineName.LOCAL
    ),
    submit: Annotated[
        bool, typer.Option("--submit", help="Let the control plane do it: a job; paths are in its folder for files.")
    ] = False,
    home: Home = None,
    url: DataUrl = None,
    json: Json = False,
) -> None:
    """Ask a model once; or for all rows of a file. A file's job that was stopped, or killed, goes on with the same
    command.

    \b
    Example:
        headrace predict digits '[[0,0,5,13,9,1,0,0,0,0,13,15,10,15,5,0, …]]' --user ann
        headrace predict digits @rows.json --version 2
        headrace predict --endpoint digits --input rows.parquet --output scored.parquet
        headrace predict --endpoint digits --input rows.csv --keep id --output scored.jsonl
    """
    name = endpoint or model
    if name is None:
        raise BadInput("no endpoint is named", field="endpoint", hint="headrace predict ENDPOINT INPUTS, or --endpoint")
    if input is not None or output is not None:
        if inputs is not None or input is None or output is None:
            raise BadInput("a file needs --input and --output, and no inputs beside them", field="input")
        options = FileOptions(
            endpoint=name,
            input=input,
            output=output,
            input_format=format,
            output_format=output_format,
            features=tuple(features or ()),
            keep=tuple(keep or ()),
            rows_per_call=rows_per_call,
            concurrency=concurrency,
            max_failed=max_failed,
            restart=restart,
            engine=engine,
            version=version,
            stage=stage,
            user=user or "",
            colour=colour,
            key=key,
        )
        if submit:
            submit_file(options, home=home, json=json)
        else:
            score_file(options, home=home, url=url, json=json)
        return
    if inputs is None:
        raise BadInput("no inputs are given", field="inputs", hint="JSON, @FILE, or --input for a file of rows")
    asked = {"user": user, "version": version, "stage": stage, "colour": colour}
    _once(name, inputs, asked=asked, key=key, home=home, url=url, json=json)


def _once(
    model: str,
    inputs: str,
    *,
    asked: dict[str, Any],
    key: str,
    home: Path | None,
    url: str | None,
    json: bool,
) -> None:
    rows = parse(_read(inputs), field="inputs")
    with headrace(home, url, key=key) as data:
        answer = data.predict(model, rows, **asked)
    if json:
        emit(asdict(answer))
    else:
        say(escape(jsonlib.dumps(answer.result, ensure_ascii=False)))
        note(f"[dim]{escape(model)} version {answer.model_version}, {answer.latency_ms:.2f} ms, {answer.trace_id}[/]")


def _read(inputs: str) -> str:
    if inputs == "-":
        return sys.stdin.read()
    return Path(inputs[1:]).read_text() if inputs.startswith("@") else inputs
