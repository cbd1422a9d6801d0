"""What a request to MLflow's registry would move: a stage, an alias, or a version that goes away.

Called by mlflow.py before it passes the request on. Pure. Reads a body as MLflow does: any encoding of JSON, and older
clients' JSON in a JSON string. What MLflow would refuse itself is not ours to judge: it moves nothing.
"""

from __future__ import annotations

import json
import re
from typing import Any

from headrace.release.record import RegistryCall
from headrace.types.errors import BadInput
from headrace.types.model import Stage

_DEED = re.compile(r"/(?:ajax-)?api/[^/]+/mlflow/(?P<deed>(?:model-versions|registered-models)/[a-z-]+)$")
_STAGES = {stage.value.lower(): stage.value for stage in Stage}


def read_call(method: str, path: str, body: bytes) -> RegistryCall | None:
    """`path` below /mlflow, unquoted. None: it moves no stage and no alias. Raises BadInput for what is no JSON."""
    found = _DEED.match(path)
    if found is None:
        return None
    told = _object(body)
    model, version = str(told.get("name", "")), _number(told.get("version"))
    match (method, found["deed"]):
        case ("POST", "model-versions/transition-stage"):
            stage = _STAGES.get(str(told.get("stage", "")).lower(), "")
            return RegistryCall(model=model, version=version, stage=stage) if stage and version else None
        case ("POST", "registered-models/alias"):
            return RegistryCall(model=model, version=version, name=str(told.get("alias", "")))
        case ("DELETE", "registered-models/alias"):
            return RegistryCall(model=model, version=0, name=str(told.get("alias", "")))
        case ("DELETE", "model-versions/delete"):
            return RegistryCall(model=model, version=version, gone=True)
        case ("DELETE", "registered-models/delete") | ("POST", "registered-models/rename"):
            return RegistryCall(model=model, version=0, gone=True)
    return None


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body or b"{}")
        told = json.loads(told) if isinstance(told, str) else told
    except ValueError as error:
        raise BadInput(f"the body is not JSON: {error}", field="body") from error
    if not isinstance(told, dict):
        raise BadInput(f"the body is a {type(told).__name__}, not an object", field="body")
    return told


def _number(value: Any) -> int:
    """0 for what is no version; MLflow refuses it."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
