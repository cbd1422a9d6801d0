"""`headrace models` and `headrace stage`: what is registered, and which version is in which stage.

Called by people and scripts. A move to Production archives the version it replaces and is effective on the next call.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.cli.options import ControlUrl, Home, Json, Reason, admin
from headrace.cli.show import ago, emit, plain, say, table
from headrace.types.model import Stage


def models(
    name: Annotated[str | None, typer.Argument(help="Show the versions of this model.")] = None,
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """List the registered models, or the versions of one.

    \b
    Example:
        headrace models
        headrace models digits
    """
    with admin(home, url) as control:
        found = control.versions(name) if name else control.models()
    if json:
        emit(found)
    elif name:
        table(
            ("version", "stage", "aliases", "flavor", "metrics", "sha256", "created"),
            [_version_row(version) for version in found],
            empty=f"{name} has no version",
        )
    else:
        table(
            ("model", "versions", "in Production"),
            [_model_row(model) for model in found],
            empty="no model yet: log one with the mlflow client, registered_model_name=…",
        )


def stage(
    name: Annotated[str, typer.Argument(help="Registered model.")],
    version: Annotated[int, typer.Argument(help="Its version.")],
    to: Annotated[Stage, typer.Argument(metavar="STAGE", help="None, Staging, Production or Archived.")],
    reason: Reason = "",
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Move a version to a stage. To Production: it takes all traffic and archives the version it replaces.

    \b
    Example:
        headrace stage digits 2 Production
    """
    with admin(home, url, timeout=300.0) as control:
        moved = control.move_stage(name, version, to, reason=reason)
    if json:
        emit(moved)
    else:
        say(f"{escape(name)} version {version} is in [bold]{to}[/]")


def _version_row(version: Any) -> tuple[object, ...]:
    metrics = ", ".join(f"{name} {value:.3g}" for name, value in (version.get("metrics") or {}).items())
    aliases = ", ".join(version.get("aliases") or [])
    sha = str(version.get("sha256") or "")[:12]
    return (
        *(version["version"], version.get("stage"), aliases, version.get("flavor"), metrics, sha),
        ago(version.get("created") or 0.0),
    )


def _model_row(model: Any) -> tuple[object, ...]:
    if not isinstance(model, dict):
        return (model, None, None)
    versions = model.get("versions")
    count = len(versions) if isinstance(versions, list) else plain(versions)
    return (model.get("name"), count, model.get("production"))
