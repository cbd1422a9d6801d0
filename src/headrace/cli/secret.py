"""`headrace secret`: keys of providers and the like, sealed. A value goes in and never comes out.

Called by people and scripts. A value is read from a prompt or from standard input, never from an argument: arguments
are seen by everybody on the machine and kept in the shell's history.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markup import escape

from headrace.cli.options import ControlUrl, Home, Json, admin
from headrace.cli.show import emit, note, say, table
from headrace.types.errors import BadInput

app = typer.Typer(
    help="Secrets by name: sealed where they are kept, never shown.", no_args_is_help=True, rich_markup_mode=None
)
Name = Annotated[str, typer.Argument(help="That providers and keys refer to it by.")]


@app.command("list")
def list_(home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """List the names.

    \b
    Example:
        headrace secret list
    """
    with admin(home, url) as control:
        found = control.secrets()
    emit(found) if json else table(
        ("secret",), [(name,) for name in found], empty="no secret yet: headrace secret set NAME"
    )


@app.command("set")
def set_(name: Name, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Keep a value, or put a new one in its place: from standard input, or asked for.

    \b
    Example:
        headrace secret set openai < openai.key
    """
    value = typer.prompt(name, hide_input=True) if sys.stdin.isatty() else sys.stdin.read().strip()
    if not value:
        raise BadInput("standard input is empty", field="value")
    with admin(home, url) as control:
        done = control.set_secret(name, value)
    emit(done) if json else say(f"{escape(name)} is [bold]sealed[/]")


@app.command()
def remove(name: Name, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Remove a secret that nothing needs.

    \b
    Example:
        headrace secret remove openai
    """
    with admin(home, url) as control:
        done = control.remove_secret(name)
    emit(done) if json else say(f"{escape(name)} is removed")


@app.command()
def rotate(home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Make a new master key and seal all secrets under it. With HEADRACE_MASTER_KEY: put the new one before the old.

    \b
    Example:
        headrace secret rotate
    """
    with admin(home, url) as control:
        done = control.rotate_secrets()
    if json:
        emit(done)
        return
    say(f"{len(done['lines'])} secrets are sealed under the master key of today")
    if not done["lines"]:
        note("there was nothing to seal anew")
