"""`headrace deploy`: a model version, live on an endpoint with all its traffic.

Called by people and pipelines. The control plane does the work; this shows its progress and the proof.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

import typer
from rich.markup import escape

from headrace.cli.documents import read_mapping
from headrace.cli.options import ControlUrl, Home, Json, Reason, admin
from headrace.cli.show import emit, progress, say
from headrace.types.errors import BadInput

DESCRIPTIONS = (".yaml", ".yml", ".json")
AdapterFile = Annotated[
    Path | None,
    typer.Option("--adapter", metavar="FILE", help="YAML: how it takes and gives what callers know. docs/adapters.md."),
]


def deploy(
    model: Annotated[
        str,
        typer.Argument(
            help="models:/NAME/VERSION, models:/NAME@ALIAS or models:/NAME/STAGE; the URL of a model on another V2 "
            "server; or a YAML file that describes a service."
        ),
    ],
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", "-e", help="Name that applications call. Default: the model's name.")
    ] = None,
    adapter: AdapterFile = None,
    reason: Reason = "",
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Serve a registered model version: checksum, conversion, proof of parity, then all traffic.

    Or a service elsewhere, which is asked for its signature.

    \b
    Example:
        headrace deploy models:/digits/1 --endpoint digits
        headrace deploy http://triton:8000/v2/models/digits --endpoint digits
        headrace deploy scorer.yaml --endpoint churn
        headrace deploy models:/churn/4 --endpoint churn --adapter adapter.yaml
    """
    upstream = read_mapping(Path(model), field="model") if model.endswith(DESCRIPTIONS) else None
    name = endpoint or str((upstream or {}).get("name") or "") or model_name(model)
    with admin(home, url) as control, progress(f"deploying {model}", quiet=json) as tell:
        live = control.deploy(
            name,
            "" if upstream else model,
            upstream=upstream,
            adapter=adapter_of(adapter),
            reason=reason,
            on_progress=tell,
        )
        seconds = tell.seconds
    if json:
        emit(live)
        return
    say(f"[bold green]live[/] after {seconds:.1f} s: {escape(model)} answers all calls to {escape(name)}")
    for line in proof(live):
        say(f"  {escape(line)}")


def adapter_of(file: Path | None) -> dict[str, Any] | None:
    return None if file is None else read_mapping(file, field="adapter")


def model_name(uri: str) -> str:
    if uri.startswith(("http://", "https://")):
        return unquote(uri.partition("/v2/models/")[2].partition("/")[0])
    scheme, _, rest = uri.partition(":/")
    name = rest.strip("/").split("/")[0].split("@")[0]
    if scheme != "models" or not name:
        raise BadInput(
            f"{uri!r} does not name a registered model",
            field="model",
            hint="write models:/NAME/VERSION, models:/NAME@ALIAS or models:/NAME/STAGE",
        )
    return name


def proof(endpoint: dict[str, Any]) -> list[str]:
    """How the version that now answers was made, and what shows that it answers like the original."""
    baseline = endpoint.get("policy", {}).get("baseline")
    variant: dict[str, Any] = next((v for v in endpoint.get("variants", []) if v.get("name") == baseline), {})
    package = variant.get("package", {})
    parity = package.get("parity") or {}
    lines = []
    if package:
        lines.append(f"runtime {package.get('runtime')}, package {str(package.get('id'))[:12]}")
    if parity:
        lines.append(
            f"parity: {parity['rows']} rows compared ({parity['split_rows']} of them on split points), "
            f"{parity['label_flips']} labels differ, scores differ by {parity['max_difference']:.2g} at most"
        )
        lines += [f"tried before: {what}" for what in parity.get("tried", [])]
    return lines
