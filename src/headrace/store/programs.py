"""Programs among the versions of MLflow's registry: with parameters, figures, the data set and where they come from.

Called by programs' callers in the control plane and by the flywheel's turns. Decides how a program lies in an artifact
so that a stock MLflow loads it without unpickling anything, and what of a compilation its UI shows. Uses a client of
its own: MLflow's process-wide settings stay as they are.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import mlflow
import yaml
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from headrace import __version__
from headrace.base.files import tree_sha256
from headrace.store.mlmodel import MLMODEL, REQUIREMENTS
from headrace.store.registry import CLIENT_DEFAULTS, SHA256_TAG
from headrace.types.errors import UpstreamError
from headrace.types.model import Datatype, Signature, TensorSpec

LOADER = "headrace.programs.child.loader"
FLAVOR = "program"
EXPERIMENT = "headrace/programs"
ARTIFACT = "program"
DATA = "data/program"
_LONGEST_PARAM = 500  # characters
_TYPES = {
    Datatype.BYTES: "string",
    Datatype.INT64: "long",
    Datatype.FP64: "double",
    Datatype.BOOL: "boolean",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """`folder`: the program's package. `dataset`: name and digest of what it was compiled with. `tags`: where it comes
    from, such as the version before and the turn that made it."""

    name: str
    folder: Path
    signature: Signature
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    dataset: tuple[str, str] = ("", "")
    source: str = ""  # of the data set
    description: str = ""


def register_program(uri: str, what: Registration) -> int:
    """The number of the new version. Raises UpstreamError when MLflow does not take it."""
    for name, value in CLIENT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    try:
        with tempfile.TemporaryDirectory(prefix="headrace-program-") as scratch:
            model = Path(scratch) / ARTIFACT
            save_program(model, what)
            return _register(client, model, what)
    except MlflowException as error:
        raise UpstreamError(f"MLflow at {uri} did not take the program: {error}", retry_after=5.0) from error


def save_program(folder: Path, what: Registration) -> None:
    """An MLflow model folder. Its description is written by hand: it is a documented format, and MLflow's own writer
    would import a second of libraries to say the same."""
    shutil.copytree(what.folder, folder / DATA)
    python = platform.python_version()
    described = {
        "flavors": {
            FLAVOR: {"format": 1},
            "python_function": {
                "data": DATA,
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": LOADER,
                "python_version": python,
            },
        },
        "metadata": {"headrace": {"runtime": "program"}},
        "mlflow_version": mlflow.__version__,
        "model_uuid": uuid4().hex,
        "signature": {
            "inputs": json.dumps(_columns(what.signature.inputs)),
            "outputs": json.dumps(_columns(what.signature.outputs)),
            "params": None,
        },
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    needed = f"headrace[program]=={__version__}"
    packages: list[Any] = [f"python={python}", "pip", {"pip": [needed]}]
    conda = {"name": "mlflow-env", "channels": ["conda-forge"], "dependencies": packages}
    environment = {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    for name, content in ((MLMODEL, described), ("conda.yaml", conda), ("python_env.yaml", environment)):
        (folder / name).write_text(yaml.safe_dump(content, sort_keys=False))
    (folder / REQUIREMENTS).write_text(f"{needed}\n")


def _register(client: MlflowClient, model: Path, what: Registration) -> int:
    run = client.create_run(_experiment(client), run_name=what.name, tags={"headrace.kind": "program"})
    run_id, now = run.info.run_id, int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, now, 0) for name, value in what.metrics.items()],
        params=[Param(name, str(value)[:_LONGEST_PARAM]) for name, value in what.params.items()],
        tags=[RunTag(name, value) for name, value in what.tags.items()],
    )
    if what.dataset[0]:
        _log_dataset(client, run_id, what)
    client.log_artifacts(run_id, str(model), artifact_path=ARTIFACT)
    client.set_terminated(run_id)
    if not client.search_registered_models(f"name='{what.name}'"):
        client.create_registered_model(what.name, tags={"headrace.kind": "program"})
    version = client.create_model_version(
        what.name,
        source=f"runs:/{run_id}/{ARTIFACT}",
        run_id=run_id,
        tags={SHA256_TAG: tree_sha256(model), **what.tags},
        description=what.description or None,
    )
    return int(version.version)


def _log_dataset(client: MlflowClient, run_id: str, what: Registration) -> None:
    name, digest = what.dataset
    dataset = Dataset(name=name, digest=digest, source_type="headrace", source=what.source or name)
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, tags=[InputTag("mlflow.data.context", "training")])])


def _experiment(client: MlflowClient) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    return str(found.experiment_id if found is not None else client.create_experiment(EXPERIMENT))


def _columns(specs: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
    return [{"type": _TYPES[spec.datatype], "name": spec.name, "required": True} for spec in specs]
