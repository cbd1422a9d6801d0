"""The command line's root: which commands there are, and what an error means to the shell.

Run as `headrace` and as `python -m headrace.cli.main`. Exit status: 0 done · 1 it did not work · 2 wrong use ·
3 nothing runs or answers there · 4 it waits for a person: a paused release, an approval · 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

import headrace
from headrace.cli import chat, dataset, endpoint, feedback, gateway, key, llm, migrate, release, secret, turn, webhook
from headrace.cli.approvals import approvals, approve, refuse, undo
from headrace.cli.compile import compile_
from headrace.cli.demo.command import demo
from headrace.cli.deploy import deploy
from headrace.cli.gateway import apply, diff
from headrace.cli.history import history
from headrace.cli.jobs import jobs
from headrace.cli.models import models, stage
from headrace.cli.predict import predict
from headrace.cli.show import fail, say
from headrace.cli.status import logs, status
from headrace.cli.stream import stream
from headrace.cli.traces import export, traces
from headrace.cli.up import down, up
from headrace.types.errors import ApprovalNeeded, BadInput, HeadraceError, PlatformError, UpstreamError

FAILED, MISUSED, UNREACHABLE, WAITING = 1, 2, 3, 4

app = typer.Typer(
    name="headrace",
    help="From a training record to production traffic, and back.",
    no_args_is_help=True,
    rich_markup_mode=None,  # \b keeps an example's lines in plain help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(headrace.__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """From a training record to production traffic, and back.

    \b
    Example:
        headrace up
        headrace deploy models:/digits/1 --endpoint digits
        headrace release digits --candidate models:/digits/2 --canary
    """


COMMANDS: tuple[Callable[..., None], ...] = (
    *(up, down, status, logs),
    *(deploy, models, stage),
    *(apply, diff),
    *(history, undo, approvals, approve, refuse),
    *(predict, jobs, stream, traces, export),
    demo,
)
for command in COMMANDS:
    app.command()(command)
app.command("compile")(compile_)
app.add_typer(release.app, name="release")
app.add_typer(feedback.app, name="feedback")
app.add_typer(dataset.app, name="dataset")
app.add_typer(migrate.app, name="migrate")
app.add_typer(endpoint.app, name="endpoint")
app.add_typer(webhook.app, name="webhook")
app.add_typer(gateway.app, name="gateway")
app.add_typer(key.app, name="key")
app.add_typer(secret.app, name="secret")
app.add_typer(llm.app, name="llm")
app.add_typer(chat.app, name="chat")
app.add_typer(turn.app, name="turn")


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        app(arguments, prog_name="headrace")
    except HeadraceError as error:
        fail(error.sentence())
        sys.exit(status_of(error))
    except OSError as error:
        fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
        sys.exit(FAILED)


def status_of(error: HeadraceError) -> int:
    if isinstance(error, BadInput):
        return MISUSED
    if isinstance(error, ApprovalNeeded):
        return WAITING
    return UNREACHABLE if isinstance(error, PlatformError | UpstreamError) else FAILED


if __name__ == "__main__":
    main()
