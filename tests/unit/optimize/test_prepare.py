"""From artifact to package through the real child process."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pytest
from mlflow.models import infer_signature
from saved_models import custom_code, digits, save, scaled_logistic

from headrace.base.clock import ManualClock
from headrace.base.files import tree_sha256
from headrace.optimize import prepare as prepare_module
from headrace.optimize.prepare import prepare
from headrace.store.artifacts import Artifacts
from headrace.types.errors import ModelRefused
from headrace.types.model import ModelVersion, Package, RuntimeKind

VERSION = ModelVersion(name="digits", version=3, uri="models:/digits/3")


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


def run(artifact: Path, artifacts: Artifacts, *, sha256: str = "", said: list[str] | None = None) -> Package:
    version = ModelVersion(name="digits", version=3, uri="models:/digits/3", sha256=sha256)
    return prepare(
        version,
        artifact,
        artifacts=artifacts,
        rows=(),
        work=artifact.parent / "work",
        progress=(said if said is not None else []).append,
        clock=ManualClock(1000.0),
    )


def test_a_convertible_model_becomes_a_verified_package_and_only_once(tmp_path: Path, artifacts: Artifacts) -> None:
    inputs, _ = digits()
    artifact = save(tmp_path / "m", scaled_logistic(), inputs)
    digest = tree_sha256(artifact)
    said: list[str] = []
    package = run(artifact, artifacts, sha256=digest, said=said)
    assert package.runtime is RuntimeKind.ONNX
    assert (package.model, package.version, package.source_sha256) == ("digits", 3, digest)
    assert package.created == 1000.0
    assert [file.path for file in package.files] == ["model.onnx", "warmup.npy"]
    assert artifacts.verify(package) == artifacts.path(package.id)
    assert any("ONNX float32 answers like the original on 40 rows" in text for text in said)
    assert list((tmp_path / "work").iterdir()) == []

    again: list[str] = []
    assert run(artifact, artifacts, sha256=digest, said=again) == package
    assert again[-1].startswith("models:/digits/3 is prepared already")


def test_custom_code_becomes_a_pyfunc_package_and_is_unpickled_in_the_child_only(
    tmp_path: Path, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, _ = digits()
    artifact = save(tmp_path / "m", custom_code(), inputs, serialization_format="cloudpickle")

    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("unpickled in the control plane")

    monkeypatch.setattr(pickle, "load", never)
    monkeypatch.setattr(pickle, "loads", never)
    package = run(artifact, artifacts)
    assert package.runtime is RuntimeKind.PYFUNC
    assert "model/model.pkl" in [file.path for file in package.files]
    assert tree_sha256(artifacts.path(package.id) / "model") == package.source_sha256
    assert np.load(artifacts.path(package.id) / package.warmup, allow_pickle=False).shape == (32, 64)


def test_a_changed_artifact_is_refused_before_anything_runs(tmp_path: Path, artifacts: Artifacts) -> None:
    inputs, _ = digits()
    artifact = save(tmp_path / "m", scaled_logistic(), inputs)
    recorded = tree_sha256(artifact)
    (artifact / "requirements.txt").write_text("evil==1.0\n")
    said: list[str] = []
    with pytest.raises(ModelRefused, match=f"{tree_sha256(artifact)[:12]}…, but {recorded[:12]}… was recorded"):
        run(artifact, artifacts, sha256=recorded, said=said)
    assert len(said) == 1


def test_a_refusal_of_the_child_keeps_its_field_and_hint(tmp_path: Path, artifacts: Artifacts) -> None:
    inputs, _ = digits()
    artifact = save(tmp_path / "m", scaled_logistic(), inputs, example=0, signature=False)
    with pytest.raises(ModelRefused, match="models:/digits/3 is refused: the model has no signature") as caught:
        run(artifact, artifacts)
    assert caught.value.field == "signature"
    assert "infer_signature" in (caught.value.hint or "")


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, artifacts: Artifacts) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(ModelRefused, match="no MLmodel file"):
        run(tmp_path / "m", artifacts)


def test_a_model_that_kills_its_process_is_refused_and_the_control_plane_lives(
    tmp_path: Path, artifacts: Artifacts
) -> None:
    rows = np.zeros((2, 3))
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        class Deadly(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input):  # type: ignore[no-untyped-def]
                import os

                os.abort()

        signature = infer_signature(rows, rows[:, 0])
        mlflow.pyfunc.save_model(
            str(tmp_path / "m"), python_model=Deadly(), signature=signature, pip_requirements=["pandas"]
        )
    said: list[str] = []
    version = ModelVersion(name="digits", version=3, uri="models:/digits/3")
    with pytest.raises(ModelRefused, match="killed by SIGABRT"):
        prepare(
            version, tmp_path / "m", artifacts=artifacts, rows=rows.tolist(), work=tmp_path / "w", progress=said.append
        )
    assert "the conversion died; try the model as it is" in said


def test_a_conversion_that_dies_leaves_the_model_as_it_is(
    tmp_path: Path, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that dies whenever it may convert: the real program behind a wrapper on its path."""
    inputs, _ = digits()
    artifact = save(tmp_path / "m", scaled_logistic(), inputs)
    (tmp_path / "dying.py").write_text(
        "import headrace.optimize.convert as c\n"
        "def die(*a, **k): raise SystemError('converter is broken')\n"
        "c.convert_estimator = die\n"
        "c.main()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(prepare_module, "PROGRAM", "dying")
    package = run(artifact, artifacts)
    assert package.runtime is RuntimeKind.PYFUNC
    assert package.parity is not None
    [why] = package.parity.tried
    assert why.startswith("ONNX: the job ended with status 1 and no result")
    assert why.endswith("SystemError: converter is broken")


def test_the_control_plane_imports_no_converter() -> None:
    heavy = ("sklearn", "onnx", "skl2onnx", "mlflow")
    code = f"import sys, headrace.optimize.prepare; print(*[m for m in {heavy} if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""
