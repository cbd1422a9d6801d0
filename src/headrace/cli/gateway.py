"""`headrace apply`, `headrace diff` and `headrace gateway`: the LLM gateway from a file, its versions, what it cost.

Called by people and scripts. A new key is shown when it is made, and never again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.cli import gatewaylook
from headrace.cli.gatewaylook import show_lines
from headrace.cli.options import ControlUrl, Home, Json, Reason, admin
from headrace.cli.show import ago, emit, note, say, table
from headrace.provision.text import sections_of, text_of
from headrace.types.errors import BadInput

app = typer.Typer(
    help="The LLM gateway: its configuration, versions, and what it cost.", no_args_is_help=True, rich_markup_mode=None
)
File = Annotated[Path, typer.Option("--file", "-f", help="YAML: providers, keys, people, limits, prices, endpoints.")]
for _command in (gatewaylook.status, gatewaylook.change, gatewaylook.cache, gatewaylook.costs, gatewaylook.prices):
    app.command()(_command)


def apply(
    file: File,
    reason: Reason = "",
    version: Annotated[
        int | None, typer.Option("--version", help="That this is a change of; refused if there is a newer one.")
    ] = None,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Make the LLM gateway what a file says, within a second and without cutting a stream.

    \b
    Example:
        headrace apply -f gateway.yaml --reason "more for search"
    """
    with admin(home, url) as control:
        done = control.apply_gateway(read_document(file), reason=reason, version=version)
    if json:
        emit(done)
        return
    show_lines(done["lines"])
    for made in done["keys"]:
        say(f"key {escape(made['key']['name'])}: [bold]{made['secret']}[/]")
    if done["keys"]:
        note("Keys are shown this once.")
    if done["lines"]:
        say(f"version {done['version']}")


def diff(file: File, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Show what applying a file would change. Exit status 1 when it would change something.

    \b
    Example:
        headrace diff -f gateway.yaml
    """
    with admin(home, url) as control:
        lines = control.diff_gateway(read_document(file))
    emit(lines) if json else show_lines(lines)
    if lines:
        raise typer.Exit(1)


@app.command()
def show(home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Print the gateway as a file that can be applied again.

    \b
    Example:
        headrace gateway show > gateway.yaml
    """
    with admin(home, url) as control:
        found = control.gateway()
    if json:
        emit(found)
        return
    typer.echo(text_of(found["gateway"]), nl=False)


@app.command()
def history(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 20,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """List the versions of the gateway, the newest first.

    \b
    Example:
        headrace gateway history
    """
    with admin(home, url) as control:
        found = control.gateway_versions(limit=limit)
    if json:
        emit(found)
        return
    rows = [(v["version"], ago(v["created"]), v["actor"], v["reason"]) for v in found]
    table(("version", "when", "who", "what"), rows, empty="nothing was applied yet: headrace apply -f gateway.yaml")


@app.command()
def rollback(
    version: Annotated[int, typer.Argument(help="As the history has it.")],
    reason: Reason = "",
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Go back to providers, people, limits, prices and chat endpoints of a version. Keys and secrets stay as they are.

    \b
    Example:
        headrace gateway rollback 12
    """
    with admin(home, url) as control:
        done = control.roll_back_gateway(version, reason=reason)
    if json:
        emit(done)
        return
    show_lines(done["lines"])


@app.command()
def spend(
    by: Annotated[str, typer.Option("--by", help="team, user, key, endpoint, provider, model, day …")] = "team,model",
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="Back from now.")] = 30,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Show what calls to language models used and cost, the dearest first.

    \b
    Example:
        headrace gateway spend --by team,day --days 7
    """
    since = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    with admin(home, url) as control:
        found = control.spend(by=by, since=since)
    if json:
        emit(found)
        return
    names = [name.strip() for name in by.split(",") if name.strip()]
    rows = [
        (
            *(_label(name, each["group"][name]) for name in names),
            *(each["calls"], sum(each["usage"].values()), f"{each['cost']:.4f}"),
        )
        for each in found
    ]
    table((*names, "calls", "tokens", "USD"), rows, empty=f"no call to a language model in {days} days")


@app.command("import-litellm")
def import_litellm(
    file: Annotated[Path, typer.Argument(help="LiteLLM's config.yaml.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the gateway is written.")] = None,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Turn LiteLLM's config.yaml into a gateway file, and say what could not be taken over. Nothing is applied.

    \b
    Example:
        headrace gateway import-litellm config.yaml --out gateway.yaml
    """
    with admin(home, url) as control:
        found = control.import_litellm(read_document(file))
    if json:
        emit(found)
        return
    served = [{"name": each["name"], "version": {"ways": each["ways"]}} for each in found["endpoints"]]
    text = text_of(found["gateway"] | ({"endpoints": served} if served else {}))
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text)
        say(f"written to {escape(str(out))}: headrace diff -f {escape(str(out))}")
    for name in found["secrets"]:
        note(f"first: headrace secret set {name}")
    for line in found["missing"]:
        note(f"not taken over: {line}")


def read_document(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{str(file)!r} cannot be read: {error}", field="file") from error
    return sections_of(text, repr(str(file)))


def _label(name: str, value: Any) -> str:
    if name in ("day", "hour"):
        return f"{datetime.fromtimestamp(value, UTC):{'%Y-%m-%d' if name == 'day' else '%Y-%m-%d %H:00'}}"
    return str(value)
