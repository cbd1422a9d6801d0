"""The runtime that a model asks for: taken when it is proven, refused with a reason when it is not."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from typing import Any

import mlflow.onnx
import mlflow.pytorch
import numpy as np
import onnx
import pytest
from mlflow.models import infer_signature
from saved_models import digits, save, scaled_logistic

from headrace.optimize import asked
from headrace.optimize.convert import convert
from headrace.optimize.order import Order, Outcome
from headrace.types.errors import ModelRefused
from headrace.types.model import RuntimeKind

TORCH = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="no torch here: pip install torch -e '.[control,convert,test]' in an environment of its own",
)


def run(folder: Path, runtime: RuntimeKind | None) -> Outcome:
    order = Order(artifact=str(folder), out=f"{folder}.out", tolerance=1e-4, runtime=runtime)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as the child does
        return convert(order, lambda text: None)


def told(outcome: Outcome) -> str:
    assert outcome.parity
    return "; ".join(outcome.parity.tried)


def network(folder: Path, **options: Any) -> Path:
    """A small network in ONNX, as a stock client logs it."""
    weights = np.array([[1.0, -1.0], [0.5, 0.25]], dtype=np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["z"]), onnx.helper.make_node("Softmax", ["z"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 2])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.onnx.save_model(model, str(folder), pip_requirements=["onnx"], **options)
    return folder


EXAMPLE = np.array([[1.0, 2.0], [3.0, -4.0], [0.0, 0.5]], dtype=np.float32)


def test_a_graph_runs_on_openvino_when_it_answers_alike(tmp_path: Path) -> None:
    outcome = run(network(tmp_path / "m", input_example=EXAMPLE), RuntimeKind.OPENVINO)
    assert outcome.runtime is RuntimeKind.OPENVINO
    assert "OpenVINO answers like ONNX Runtime on 3 rows" in told(outcome)
    assert (tmp_path / "m.out" / "model.onnx").exists()


def test_one_that_openvino_answers_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = asked._run
    monkeypatch.setattr(asked, "_run", lambda *args: {name: array + 1 for name, array in right(*args).items()})
    with pytest.raises(ModelRefused, match="does not answer like ONNX Runtime: 3 of 3 rows have scores"):
        run(network(tmp_path / "m", input_example=EXAMPLE), RuntimeKind.OPENVINO)


def test_trees_and_scalers_are_unknown_to_openvino(tmp_path: Path) -> None:
    save(tmp_path / "m", scaled_logistic(), digits()[0])
    with pytest.raises(ModelRefused, match=r"OpenVINO cannot load the graph: .*No conversion rule found"):
        run(tmp_path / "m", RuntimeKind.OPENVINO)


def test_without_rows_nothing_can_be_proven(tmp_path: Path) -> None:
    network(tmp_path / "m")
    with pytest.raises(ModelRefused, match="no real rows to prove it on OpenVINO"):
        run(tmp_path / "m", RuntimeKind.OPENVINO)


def test_a_model_may_ask_to_stay_as_it_is(tmp_path: Path) -> None:
    save(tmp_path / "m", scaled_logistic(), digits()[0])
    outcome = run(tmp_path / "m", RuntimeKind.PYFUNC)
    assert outcome.runtime is RuntimeKind.PYFUNC
    assert "asks for the runtime pyfunc" in told(outcome)


@TORCH
@pytest.mark.parametrize(
    ("form", "kind"),
    [("pickle", RuntimeKind.TORCH), ("script", RuntimeKind.TORCHSCRIPT), ("pt2", RuntimeKind.TORCH)],
)
def test_a_pytorch_model_gets_the_runtime_of_its_form(
    tmp_path: Path, form: str, kind: RuntimeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(sys, "path", [*sys.path])
    example = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], dtype=np.float32)
    module: Any = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Softmax(dim=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = torch.jit.script(module) if form == "script" else module
        mlflow.pytorch.save_model(
            saved,
            str(tmp_path / "m"),
            signature=infer_signature(example),
            input_example=example,
            serialization_format="pt2" if form == "pt2" else "pickle",
            pip_requirements=["torch"],
        )
    outcome = run(tmp_path / "m", None)
    assert outcome.runtime is kind
    assert outcome.signature
    assert [spec.shape for spec in outcome.signature.outputs] == [(-1, 2)]
    assert outcome.parity
    assert outcome.parity.rows == 2


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is here")
def test_without_torch_a_pytorch_model_is_refused_with_what_to_do(tmp_path: Path) -> None:
    save(tmp_path / "m", scaled_logistic(), digits()[0])
    described = (tmp_path / "m" / "MLmodel").read_text()
    (tmp_path / "m" / "MLmodel").write_text(described.replace("  sklearn:", "  pytorch:"))
    with pytest.raises(ModelRefused, match="No module named 'torch'") as refused:
        run(tmp_path / "m", None)
    assert refused.value.hint
    assert "pip install torch" in refused.value.hint
