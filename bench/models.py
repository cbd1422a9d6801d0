"""Real models for measurements and tests, logged with the stock MLflow client to MLFLOW_TRACKING_URI.

`python -m bench.models NAME [NAME …]` registers each under its name; a name given twice gets two versions. With
`--keep FOLDER` the files of each are also left in FOLDER/NAME for servers that take files: the MLflow model, and
model.joblib of a scikit-learn one.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import mlflow
import numpy as np
import onnx
from mlflow.models import infer_signature
from mlflow.models.model import ModelInfo
from mlflow.models.signature import ModelSignature
from mlflow.types import Schema, TensorSpec
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

WIDE = (784, 2048, 2048, 10)
SPAN = 2048  # bytes of a file that magika looks at


def halved(pixels: Any) -> Any:
    """A step that no converter knows."""
    return np.asarray(pixels) / 2


def strict(pixels: Any) -> Any:
    """Takes what it was trained on and nothing else."""
    found = np.asarray(pixels)
    if found.max() > 16:
        raise ValueError(f"a pixel is {found.max()}; allowed: 0 to 16")
    return found / 2


def digits() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))


def forest() -> Any:
    return RandomForestClassifier(100, random_state=0)


def custom() -> Any:
    """Cannot be converted: served as it is, in a model host."""
    return make_pipeline(FunctionTransformer(halved), LogisticRegression(max_iter=500))


def brittle() -> Any:
    """Registered as another version of `custom`: breaks when what callers send changes."""
    return make_pipeline(FunctionTransformer(strict), LogisticRegression(max_iter=500))


def mlp() -> onnx.ModelProto:
    """784-2048-2048-10, 23 MB: heavy enough that running rows together decides. Its weights mean nothing."""
    random = np.random.default_rng(0)
    nodes, weights, last = [], [], "input"
    for number, (taken, given) in enumerate(itertools.pairwise(WIDE)):
        final = number == len(WIDE) - 2
        weight = (random.normal(size=(taken, given)) / np.sqrt(taken)).astype(np.float32)
        weights += [numpy_helper.from_array(weight, f"w{number}")]
        weights += [numpy_helper.from_array(np.zeros(given, np.float32), f"b{number}")]
        out = "logits" if final else f"sum{number}"
        nodes.append(helper.make_node("Gemm", [last, f"w{number}", f"b{number}"], [out]))
        if not final:
            nodes.append(helper.make_node("Relu", [out], [f"hidden{number}"]))
        last = f"hidden{number}"
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", WIDE[0]])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", WIDE[-1]])]
    graph = helper.make_graph(nodes, "mlp", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def mlp_rows() -> Any:
    return np.random.default_rng(1).random((20, WIDE[0])).round(4).astype(np.float32)


def magika_rows() -> Any:
    """As the package prepares a file: its first and its last 1,024 bytes. Of this very file, from 20 places."""
    text = Path(__file__).read_bytes()
    half = SPAN // 2
    return np.array([[*text[at : at + half], *text[-half - at :][:half]] for at in range(20)], np.int32)


MODELS: dict[str, Callable[[], Any]] = {
    "digits": digits,
    "forest": forest,
    "custom": custom,
    "brittle": brittle,
    "iris": digits,
}
REGISTERED = {"brittle": "custom"}  # under another name than its own


def fitted(name: str, keep: Path | None) -> ModelInfo:
    if name == "iris":
        frame, target = load_iris(return_X_y=True, as_frame=True)
    else:
        frame, target = load_digits(return_X_y=True)
    model = MODELS[name]().fit(frame[: len(frame) * 3 // 4], target[: len(frame) * 3 // 4])
    if keep is not None:
        joblib.dump(model, keep / "model.joblib")
    mlflow.log_metric("accuracy", float(model.score(frame, target)))
    return mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(frame, model.predict(frame)),
        input_example=frame[:20],
        registered_model_name=REGISTERED.get(name, name),
        serialization_format="cloudpickle" if name in ("custom", "brittle") else "skops",
        skops_trusted_types=["sklearn.tree._tree.Tree"] if name == "forest" else None,
        pip_requirements=["mlflow", "scikit-learn"],  # given, because the search for them takes seconds
    )


def graph(name: str, magika: Path | None) -> ModelInfo:
    """`magika`: the file from the package of that name."""
    if name == "mlp":
        model, rows, output = mlp(), mlp_rows(), TensorSpec(np.dtype(np.float32), (-1, WIDE[-1]), "logits")
    else:
        assert magika is not None, "--magika says where its file is"
        model, rows = onnx.load(magika), magika_rows()
        output = TensorSpec(np.dtype(np.float32), (-1, 214), "target_label")
    feed = model.graph.input[0].name
    signature = ModelSignature(Schema([TensorSpec(rows.dtype, (-1, rows.shape[1]), feed)]), Schema([output]))
    return mlflow.onnx.log_model(
        model,
        name="model",
        signature=signature,
        input_example={feed: rows},
        registered_model_name=name,
        pip_requirements=["mlflow", "onnx", "onnxruntime"],
        save_as_external_data=False,
    )


def register(name: str, *, keep: Path | None = None, magika: Path | None = None) -> None:
    folder = None if keep is None else keep / name
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with mlflow.start_run(run_name=name):
        logged = fitted(name, folder) if name in MODELS else graph(name, magika)
    if folder is not None:
        mlflow.artifacts.download_artifacts(artifact_uri=logged.model_uri, dst_path=str(folder / "mlflow"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.models", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"{', '.join(MODELS)}, mlp, magika")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--magika", type=Path, help="model.onnx from the wheel of that name")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    mlflow.set_experiment("bench")
    for name in given.names:
        register(name, keep=given.keep, magika=given.magika)


if __name__ == "__main__":
    main()
