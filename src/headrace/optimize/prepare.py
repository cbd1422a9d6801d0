"""From a downloaded model version to a package that a data plane can run.

Called by release.deploy, in a thread of the control plane. Decides: a changed artifact is refused; the same artifact
with the same converters is not converted twice; a conversion that dies leaves the model as it is (pyfunc). The model
itself is opened only in the child (convert.py): nothing is unpickled here, and no converter is imported.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from headrace.base.clock import Clock, SystemClock
from headrace.base.files import tree_sha256
from headrace.compute.job import run_job
from headrace.optimize.order import Order, Outcome
from headrace.optimize.parity import TOLERANCE
from headrace.store.artifacts import Artifacts
from headrace.store.mlmodel import check_sha256, load_mlmodel, wishes_of
from headrace.types.errors import ModelFailed, ModelRefused
from headrace.types.model import ModelVersion, Package, RuntimeKind

RECIPE = 1  # raise it when the same tools would now make another package
TOOLS = ("mlflow", "numpy", "onnx", "onnxruntime", "scikit-learn", "skl2onnx")
MAYBE = ("openvino", "torch")  # an installation may have them
PROGRAM = "headrace.optimize.convert"
TIMEOUT = 300.0
MEMORY_MB = 8_192  # of address space: libraries map far more than they use
ROWS = 2_000  # captured rows handed over at most
AS_IT_IS = (RuntimeKind.PYFUNC, RuntimeKind.TORCH, RuntimeKind.TORCHSCRIPT)  # their packages hold the MLflow folder
PYFUNC_FOLDER = "model"  # there
CHILD_ENV = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "MLFLOW_MODEL_CATALOG_URI": "",
}


def prepare(
    version: ModelVersion,
    artifact: Path,
    *,
    artifacts: Artifacts,
    rows: Sequence[Any],
    work: Path,
    progress: Callable[[str], None],
    clock: Clock | None = None,
) -> Package:
    """`artifact`: the MLflow folder. `rows`: captured rows as JSON values, newest first. `work`: a folder for scratch.

    Raises ModelRefused: another checksum than was recorded, no signature, or a model that does not run.
    """
    progress(f"check the checksum of {version.uri}")
    digest = check_sha256(version, artifact)
    key = _key(version, digest, bool(rows))
    if (made := artifacts.made(key)) is not None:
        progress(f"{version.uri} is prepared already: {made.runtime.value} package {made.id[:12]}")
        return made
    hosting, runtime = wishes_of(load_mlmodel(artifact))
    if hosting.network:
        progress(f"{version.uri} declares that it needs the network: its model hosts are not kept off it")
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="prepare-", dir=work) as scratch:
        out = Path(scratch) / "package"
        out.mkdir()
        order = Order(
            artifact=str(artifact), out=str(out), rows=tuple(rows[:ROWS]), tolerance=TOLERANCE, runtime=runtime
        )
        outcome = _convert(order, progress)
        if outcome.refused or outcome.signature is None:
            raise ModelRefused(
                f"{version.uri} is refused: {outcome.refused}",
                field=outcome.field or "model",
                hint=outcome.hint or None,
            )
        if outcome.runtime in AS_IT_IS:
            _copy_verified(artifact, out / PYFUNC_FOLDER, digest)
        draft = Package(
            id="",
            model=version.name,
            version=version.version,
            source_sha256=digest,
            runtime=outcome.runtime,
            signature=outcome.signature,
            files=(),
            parity=outcome.parity,
            warmup=outcome.warmup,
            created=(clock or SystemClock()).now(),
            hosting=hosting,
        )
        package = artifacts.add(out, draft, key=key)
    progress(f"{version.uri} is ready: {package.runtime.value} package {package.id[:12]}")
    return package


def _convert(order: Order, progress: Callable[[str], None]) -> Outcome:
    """In a child; a second one without ONNX when the first one dies."""
    try:
        return _run(order, progress)
    except ModelFailed as error:
        progress("the conversion died; try the model as it is")
        given_up = f"ONNX: {_last_line(error)}"
    _empty(Path(order.out))
    try:
        return _run(replace(order, given_up=given_up), progress)
    except ModelFailed as error:
        raise ModelRefused(f"the model cannot be run: {error.message}", field="model") from error


def _run(order: Order, progress: Callable[[str], None]) -> Outcome:
    argv = [sys.executable, "-m", PROGRAM]
    payload = msgspec.json.encode(order)
    answer = run_job(argv, payload, timeout=TIMEOUT, memory_mb=MEMORY_MB, on_progress=progress, env=CHILD_ENV)
    return msgspec.json.decode(answer, type=Outcome)


def _key(version: ModelVersion, digest: str, captured: bool) -> str:
    """What a package depends on. Captured rows may prove what an example could not, so a first lot of them counts."""
    parts = [version.name, version.version, digest, captured, RECIPE, TOLERANCE]
    parts += [f"{tool}=={installed(tool)}" for tool in (*TOOLS, *(t for t in MAYBE if find_spec(t)))]
    return sha256(msgspec.json.encode(parts)).hexdigest()


def _copy_verified(artifact: Path, target: Path, digest: str) -> None:
    """The child had the artifact in its hands: what goes into the package is hashed again."""
    shutil.copytree(artifact, target)
    if (found := tree_sha256(target)) != digest:
        raise ModelRefused(
            f"the artifact changed while it was prepared: sha256 {found[:12]}… instead of {digest[:12]}…", field="model"
        )


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _last_line(error: ModelFailed) -> str:
    """What killed it: the cause, and the last line of a traceback if there is one."""
    lines = error.message.splitlines()
    return lines[0] if len(lines) == 1 else f"{lines[0].split(': Traceback')[0]}: {lines[-1]}"
