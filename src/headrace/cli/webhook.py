"""`headrace webhook`: who is told of what happens, and what became of telling them.

Called by people and scripts. A secret is shown when it is made, and never again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.markup import escape

from headrace.cli.options import ControlUrl, Home, Json, admin
from headrace.cli.show import ago, emit, fail, note, say, table
from headrace.types.errors import BadInput

app = typer.Typer(
    help="Tell other systems what happens: signed, and sent again until it arrives.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="Of the webhook.")]
Events = Annotated[
    str | None, typer.Option("--events", help="Such as release.promoted,release.rolled_back or release.*")
]
Endpoints = Annotated[str | None, typer.Option("--endpoints", "-e", help="Of these endpoints alone.")]
SecretEnv = Annotated[
    str | None, typer.Option("--secret-env", help="Variable of the control plane that holds the secret: WEBHOOK_…")
]


@app.command("list")
def list_(home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """List the webhooks.

    \b
    Example:
        headrace webhook list
    """
    with admin(home, url) as control:
        found = control.webhooks()
    if json:
        emit(found)
        return
    table(
        ("webhook", "events", "endpoints", "state", "url"),
        [(h["name"], ", ".join(h["events"]), ", ".join(h["endpoints"]) or "all", _state(h), h["url"]) for h in found],
        empty="no webhook yet: headrace webhook add NAME https://…",
    )


@app.command()
def add(  # noqa: PLR0913 - each option of a command is an argument
    name: Name,
    address: Annotated[str, typer.Argument(metavar="URL", help="That is sent a POST.")],
    events: Events = None,
    endpoints: Endpoints = None,
    secret_env: SecretEnv = None,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Tell a URL of what happens from now on.

    \b
    Example:
        headrace webhook add chat https://chat.example.com/hooks/ml --events "release.*"
    """
    given = {"events": _words(events), "endpoints": _words(endpoints), "secret_env": secret_env}
    with admin(home, url) as control:
        made = control.add_webhook(name, address, **{k: v for k, v in given.items() if v is not None})
    emit(made) if json else _made(made)


@app.command()
def remove(name: Name, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Remove a webhook and its log.

    \b
    Example:
        headrace webhook remove chat
    """
    with admin(home, url) as control:
        done = control.remove_webhook(name)
    emit(done) if json else say(f"{escape(name)} is told of nothing any more")


@app.command()
def on(name: Name, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Switch a webhook on: it is told of what happens from now on.

    \b
    Example:
        headrace webhook on chat
    """
    _switch(name, True, home=home, url=url, json=json)


@app.command()
def off(name: Name, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Switch a webhook off.

    \b
    Example:
        headrace webhook off chat
    """
    _switch(name, False, home=home, url=url, json=json)


@app.command("test")
def try_(name: Name, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Send a message now. Exit status 1 when it does not arrive.

    \b
    Example:
        headrace webhook test chat
    """
    with admin(home, url) as control:
        done = control.test_webhook(name)
    arrived = done["state"] == "delivered"
    if json:
        emit(done)
    elif arrived:
        say(f"[bold green]arrived[/] after {done['seconds']:.2f} s: {escape(name)} answered {done['status']}")
    else:
        fail(done["error"])
    if not arrived:
        raise typer.Exit(1)


@app.command()
def rotate(name: Name, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Make a new secret. The one before it signs too for a day.

    \b
    Example:
        headrace webhook rotate chat
    """
    with admin(home, url) as control:
        made = control.rotate_webhook(name)
    emit(made) if json else _made(made)


@app.command()
def log(
    name: Name,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 30,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Show what was sent, and what became of it; the newest first.

    \b
    Example:
        headrace webhook log chat
    """
    with admin(home, url) as control:
        found = control.deliveries(name, limit=limit)
    if json:
        emit(found)
        return
    table(
        ("delivery", "event", "entry", "state", "attempts", "last", "status", "error"),
        [
            (
                *(d["id"], d["event"], d["entry"] or None, d["state"], d["attempts"]),
                *(ago(d["time"]), d["status"] or None, d["error"]),
            )
            for d in found
        ],
        empty=f"{name} has been told of nothing yet",
    )


@app.command()
def retry(
    name: Name,
    delivery: Annotated[int, typer.Argument(help="As the log has it.")],
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Send a message again.

    \b
    Example:
        headrace webhook retry chat 42
    """
    with admin(home, url) as control:
        done = control.retry_delivery(name, delivery)
    emit(done) if json else say(f"delivery {delivery} is due again")


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="YAML: webhooks: and a list of them.")],
    prune: Annotated[bool, typer.Option("--prune", help="Remove those that the file does not name.")] = False,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Make the webhooks what a file says.

    \b
    Example:
        headrace webhook apply webhooks.yaml --prune
    """
    with admin(home, url) as control:
        done = control.apply_webhooks(read_list(file), prune=prune)
    if json:
        emit(done)
        return
    for made in done["created"]:
        _made(made)
    names = {deed: ", ".join(hook["name"] for hook in done[deed]) for deed in ("changed", "removed")}
    for deed, listed in names.items():
        if listed:
            say(f"{deed}: {escape(listed)}")
    if not any(done.values()):
        note("nothing to change")


def read_list(file: Path) -> list[Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{str(file)!r} cannot be read: {error}", field="file") from error
    listed = content.get("webhooks") if isinstance(content, dict) else content
    if not isinstance(listed, list):
        raise BadInput(f"{str(file)!r} holds no list of webhooks", field="file", hint="see docs/webhooks.md")
    return listed


def _switch(name: str, active: bool, *, home: Any, url: str | None, json: bool) -> None:
    with admin(home, url) as control:
        hook = control.change_webhook(name, active=active)
    emit(hook) if json else say(f"{escape(name)} is [bold]{_state(hook)}[/]")


def _made(made: dict[str, Any]) -> None:
    hook = made["hook"]
    say(f"[bold]{escape(hook['name'])}[/] is told of {escape(', '.join(hook['events']))}")
    if made["secret"]:
        say(f"secret: [bold]{made['secret']}[/]")
        note("It is shown this once. Check signatures with it: docs/webhooks.md")


def _state(hook: dict[str, Any]) -> str:
    return "on" if hook["active"] else f"off ({hook['why_off']})" if hook["why_off"] else "off"


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]
