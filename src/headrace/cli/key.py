"""`headrace key`: virtual keys of the LLM gateway and of predictions.

Called by people and scripts. A key is shown when it is made, and never again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.cli.options import ControlUrl, Home, Json, admin
from headrace.cli.show import ago, emit, note, say, table

app = typer.Typer(help="Virtual keys: who may ask what, until when.", no_args_is_help=True, rich_markup_mode=None)
Which = Annotated[str, typer.Argument(help="Its name, or its public id.")]


@app.command("list")
def list_(home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """List the keys.

    \b
    Example:
        headrace key list
    """
    with admin(home, url) as control:
        found = control.keys()
    if json:
        emit(found)
        return
    rows = [
        (
            *(f"hr-{key['id']}-…", key.get("name"), key.get("team"), key.get("user"), ", ".join(key["scopes"])),
            *(", ".join(key.get("models", ())) or "all", _state(key), ago(key["created"])),
        )
        for key in found
    ]
    table(
        ("key", "name", "team", "user", "for", "models", "state", "made"),
        rows,
        empty="no key yet: headrace key create NAME",
    )


@app.command()
def create(  # noqa: PLR0913 - each option of a command is an argument
    name: Annotated[str, typer.Argument(help="That you will know it by.")],
    team: Annotated[str, typer.Option("--team", help="Whose it is, for limits and cost.")] = "",
    user: Annotated[str, typer.Option("--user", help="The person it is for.")] = "",
    workspace: Annotated[str, typer.Option("--workspace")] = "",
    models: Annotated[str, typer.Option("--models", help="Endpoints or patterns, with commas; empty: all.")] = "",
    scopes: Annotated[
        str, typer.Option("--scopes", help="chat, embeddings, media, predict; also passthrough and manage.")
    ] = "",
    expires: Annotated[str, typer.Option("--expires", help="Such as 2027-01-31; empty: never.")] = "",
    trusted: Annotated[
        bool, typer.Option("--trusted", help="It may say whom it calls for: a chat application's own key.")
    ] = False,
    user_secret: Annotated[
        str, typer.Option("--user-secret", help="Secret that signs whom it calls for (X-OpenWebUI-User-Jwt).")
    ] = "",
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Make a key, and show it once.

    \b
    Example:
        headrace key create app --team search --models "support,gpt-*" --scopes chat,embeddings
    """
    given: dict[str, Any] = {"name": name, "team": team, "user": user, "workspace": workspace, "expires": expires}
    given |= {"models": _words(models), "scopes": _words(scopes), "trusted": trusted, "user_secret": user_secret}
    with admin(home, url) as control:
        made = control.create_key(**{field: value for field, value in given.items() if value})
    emit(made) if json else _made(made)


@app.command()
def rotate(
    key: Which,
    grace: Annotated[float, typer.Option("--grace", help="Seconds that the old one is still good.")] = 86_400.0,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Make a new secret for a key. The old one is good for a grace time.

    \b
    Example:
        headrace key rotate app --grace 3600
    """
    with admin(home, url) as control:
        made = control.rotate_key(key, grace_seconds=grace)
    emit(made) if json else _made(made)


@app.command()
def revoke(key: Which, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Make a key worth nothing, within a second.

    \b
    Example:
        headrace key revoke app
    """
    with admin(home, url) as control:
        done = control.revoke_key(key)
    if json:
        emit(done)
        return
    say(f"{escape(key)} is [bold]revoked[/]")
    _late(done)


def _made(made: dict[str, Any]) -> None:
    say(f"key: [bold]{made['secret']}[/]")
    note("It is shown this once. Send it as authorization: Bearer KEY")
    _late(made)


def _late(done: dict[str, Any]) -> None:
    if not done.get("in_force", True):
        note(f"No data plane has it in force yet: {done.get('refused') or 'headrace status says what they do'}")


def _state(key: dict[str, Any]) -> str:
    if key["revoked"]:
        return f"revoked {ago(key['revoked'])}"
    expires = key.get("expires")
    return f"until {datetime.fromtimestamp(expires, UTC):%Y-%m-%d}" if expires else "good"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
