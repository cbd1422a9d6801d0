"""The runtime that a model asks for, instead of the one it would get: proven like a conversion.

Called by convert, in the child. A model says so in its metadata (`{"headrace": {"runtime": "openvino"}}`); a PyTorch
model says so by its flavour. Decides when OpenVINO may take the place of ONNX Runtime: when it answers alike on real
rows.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from headrace.optimize.graph import open_session, run_session
from headrace.optimize.order import Outcome
from headrace.optimize.parity import compare
from headrace.optimize.rows import Table, rows_of
from headrace.serving.codec import Codec
from headrace.serving.runtimes.base import Opened
from headrace.serving.runtimes.graph import threads
from headrace.serving.runtimes.openvino import OpenVinoModel, compile_graph
from headrace.serving.runtimes.torch import FOLDER, PICKLED
from headrace.types.errors import ModelRefused
from headrace.types.model import RuntimeKind, Signature

PYTORCH = "pytorch"  # MLflow's flavour


def on_openvino(out: Path, outcome: Outcome, rows: Table, *, tolerance: float) -> Outcome:
    """The proven graph, once more. Raises ModelRefused without OpenVINO, or when it answers otherwise."""
    if outcome.signature is None or outcome.parity is None:
        return outcome
    if not rows_of(rows):
        raise ModelRefused(
            "there are no real rows to prove it on OpenVINO",
            field="runtime",
            hint="log the model with input_example=…, or without metadata.headrace.runtime",
        )
    file = out / "model.onnx"
    expected = run_session(open_session(file), rows)
    given = _run(file, outcome.signature, rows)
    finding = compare({name: expected[name] for name in given}, given, real=rows_of(rows), tolerance=tolerance)
    if not finding.passed:
        raise ModelRefused(f"OpenVINO does not answer like ONNX Runtime: {finding.why}", field="runtime")
    told = f"OpenVINO answers like ONNX Runtime on {finding.rows} rows, at most {finding.max_difference:.2g} apart"
    parity = replace(outcome.parity, tried=(*outcome.parity.tried, told))
    return replace(outcome, runtime=RuntimeKind.OPENVINO, parity=parity)


def _run(file: Path, signature: Signature, rows: Table) -> dict[str, Any]:
    pool = threads("openvino")
    model = OpenVinoModel(compile_graph(file), signature, pool)
    codec = Codec(signature, model.form)
    named = {name: rows[name].astype(codec.dtypes[name]) for name in codec.specs}
    outputs = model.compute(codec.from_arrays(named))
    pool.shutdown(wait=False)
    return {spec.name: array for spec, array in zip(signature.outputs, outputs, strict=True)}


def torch_kind(folder: Path) -> RuntimeKind:
    """What an MLflow model of the flavour pytorch holds: a TorchScript archive has its code in it, as text."""
    file = folder / PICKLED
    if file.exists() and zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if any("/code/" in name for name in archive.namelist()):
                return RuntimeKind.TORCHSCRIPT
    return RuntimeKind.TORCH


def with_torch(kind: RuntimeKind, folder: Path, signature: Signature, use: Callable[[Opened], Table]) -> Table:
    """As its model host will open it. Raises ModelRefused without torch."""
    with tempfile.TemporaryDirectory() as package:
        (Path(package) / FOLDER).symlink_to(folder)
        try:
            opened = import_module(f"headrace.serving.runtimes.{kind.value}").open_package(Path(package), signature)
        except ImportError as error:
            raise ModelRefused(
                f"the model does not load: {error}", field="model", hint="pip install torch where Headrace runs"
            ) from error
        return use(opened)
