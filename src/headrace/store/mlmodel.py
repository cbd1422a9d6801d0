"""What an MLflow model folder says of itself, read without MLflow: its flavour, its requirements, its hash.

Called by registry (for a listing), optimize.prepare (the hash) and flavor (in a child process). The MLmodel file is
YAML of a documented format; nothing in the folder is executed or unpickled here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from headrace.base.files import tree_sha256
from headrace.types.errors import ModelRefused
from headrace.types.model import Hosting, ModelVersion, RuntimeKind

MLMODEL = "MLmodel"
REQUIREMENTS = "requirements.txt"
PYFUNC = "python_function"


class _Wishes(msgspec.Struct, forbid_unknown_fields=True):
    network: bool = False
    memory_mb: Annotated[int, msgspec.Meta(ge=256, le=1 << 20)] = Hosting().memory_mb
    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = Hosting().threads
    runtime: Literal["", "onnx", "openvino", "pyfunc", "program"] = ""


_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;#]+)")


def read_mlmodel(text: str) -> dict[str, Any]:
    """Raises ModelRefused when it is not a description of a model."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ModelRefused(f"{MLMODEL} is not YAML: {error}", field="artifact") from error
    if not isinstance(content, dict) or not isinstance(content.get("flavors"), dict) or not content["flavors"]:
        raise ModelRefused(f"{MLMODEL} names no flavour", field="artifact")
    return content


def load_mlmodel(folder: Path) -> dict[str, Any]:
    path = folder / MLMODEL
    if not path.is_file():
        raise ModelRefused(
            f"the artifact has no {MLMODEL} file", field="artifact", hint="log it with mlflow.<flavour>.log_model"
        )
    return read_mlmodel(path.read_text())


def check_sha256(version: ModelVersion, artifact: Path) -> str:
    """The hash of the tree at `artifact`. Raises ModelRefused when it is not the one that was recorded."""
    load_mlmodel(artifact)
    digest = tree_sha256(artifact)
    if version.sha256 and digest != version.sha256:
        raise ModelRefused(
            f"the artifact of {version.uri} has sha256 {digest[:12]}…, but {version.sha256[:12]}… was recorded: "
            "it was changed after it was registered",
            field="model",
            hint="register the changed model as a new version",
        )
    return digest


def flavor_of(mlmodel: dict[str, Any]) -> str:
    """The native flavour (sklearn, onnx, …); "pyfunc" when there is none."""
    return next((name for name in mlmodel["flavors"] if name != PYFUNC), "pyfunc")


def wishes_of(mlmodel: dict[str, Any]) -> tuple[Hosting, RuntimeKind | None]:
    """What its author declared: `log_model(…, metadata={"headrace": {"network": True, "memory_mb": 2048}})`."""
    declared = (mlmodel.get("metadata") or {}).get("headrace") or {}
    allowed = (
        "network (true or false), memory_mb (256 to 1048576), threads (1 to 256), runtime (onnx, openvino or pyfunc)"
    )
    try:
        wishes = msgspec.convert(declared, _Wishes)
    except msgspec.ValidationError as error:
        raise ModelRefused(
            f"metadata.headrace in {MLMODEL} is {declared!r}: {error}", field="metadata", hint=f"allowed: {allowed}"
        ) from error
    hosting = Hosting(network=wishes.network, memory_mb=wishes.memory_mb, threads=wishes.threads)
    return hosting, RuntimeKind(wishes.runtime) if wishes.runtime else None


def frameworks_of(mlmodel: dict[str, Any], requirements: str) -> dict[str, str]:
    """Pinned versions by package name, as the model was logged with, and of Python itself."""
    found = {}
    if python := mlmodel["flavors"].get(PYFUNC, {}).get("python_version"):
        found["python"] = str(python)
    for line in requirements.splitlines():
        if match := _PINNED.match(line.strip()):
            found[match[1].lower()] = match[2]
    return found
