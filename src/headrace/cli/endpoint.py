"""`headrace endpoint`: what is served, and how it runs.

Called by people and scripts. `set` takes words such as batching.max_batch_size=32; the control plane knows which there
are and between which bounds.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.cli.options import ControlUrl, Home, Json, admin
from headrace.cli.show import emit, plain, say, table
from headrace.types.errors import BadInput

app = typer.Typer(
    help="What is served, and how it runs: batching, cache, limits, gates, failover.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
SECTIONS = ("batching", "cache", "limits", "gates", "failover", "approvals")

Name = Annotated[str, typer.Argument(help="Endpoint.")]


@app.command("list")
def list_endpoints(home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """List the endpoints.

    \b
    Example:
        headrace endpoint list
    """
    with admin(home, url) as control:
        found = control.endpoints()
    if json:
        emit(found)
        return
    table(
        ("endpoint", "model", "live", "candidate", "batch", "timeout", "state"),
        [_row(endpoint) for endpoint in found],
        empty="no endpoint yet: headrace deploy models:/NAME/1",
    )


@app.command()
def show(name: Name, home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Show how an endpoint runs: every setting and its value.

    \b
    Example:
        headrace endpoint show digits
    """
    with admin(home, url) as control:
        found = control.endpoint(name)
    emit(found) if json else _settings(found)


@app.command("set")
def set_endpoint(
    name: Name,
    words: Annotated[list[str], typer.Argument(metavar="SETTING=VALUE...", help="Such as limits.timeout_ms=500.")],
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Change how an endpoint runs. In force on every data plane when this returns; nothing is loaded anew.

    \b
    Example:
        headrace endpoint set digits batching.max_batch_size=32 batching.max_queue_delay_microseconds=200
        headrace endpoint set digits cache.size_mb=64 cache.ttl_seconds=30
        headrace endpoint set digits limits.timeout_ms=500 capture=none
        headrace endpoint set digits gates.max_p99_ms=20 gates.answers=golden.jsonl gates.skip=parity
        headrace endpoint set orders effects=true
    """
    changes = changes_of(words)
    with admin(home, url, timeout=120.0) as control:
        made = control.configure(name, changes)
    if json:
        emit(made)
        return
    say(f"[bold green]in force[/]: {escape(', '.join(words))}")


def changes_of(words: list[str]) -> dict[str, Any]:
    """`batching.max_batch_size=32` to {"batching": {"max_batch_size": 32}}. Raises BadInput for another form."""
    changes: dict[str, Any] = {}
    for word in words:
        place, equals, text = word.partition("=")
        section, dot, setting = place.partition(".")
        if not equals or not section or (dot and not setting):
            raise BadInput(
                f"{word!r} is not SETTING=VALUE", field="settings", hint="such as batching.max_batch_size=32"
            )
        if dot:
            changes.setdefault(section, {})[setting] = _value(text)
        else:
            changes[section] = text
    return changes


def _value(text: str) -> Any:
    if "," in text:
        return [_value(part) for part in text.split(",") if part]
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _settings(endpoint: dict[str, Any]) -> None:
    rows = [
        (f"{section}.{setting}", plain(value))
        for section in SECTIONS
        for setting, value in sorted((endpoint.get(section) or {}).items())
    ]
    rows += [("capture", plain(endpoint.get("capture"))), ("effects", plain(endpoint.get("effects")).lower())]
    table(("setting", "value"), rows, empty="no setting")


def _row(endpoint: dict[str, Any]) -> tuple[object, ...]:
    policy = endpoint.get("policy") or {}
    candidate = f"{policy['candidate']} {policy.get('share', 0) / 100:g} %" if policy.get("candidate") else None
    return (
        endpoint.get("name"),
        endpoint.get("model"),
        policy.get("baseline"),
        candidate,
        (endpoint.get("batching") or {}).get("max_batch_size"),
        f"{(endpoint.get('limits') or {}).get('timeout_ms')} ms",
        "unloaded" if endpoint.get("parked") else "loaded",
    )
