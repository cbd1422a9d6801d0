"""Real models for measurements and tests, logged with the stock MLflow client to MLFLOW_TRACKING_URI.

`python -m bench.models NAME [NAME …]` registers each under its name; a name given twice gets two versions.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import mlflow
import numpy as np
from mlflow.models import infer_signature
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler


def halved(pixels: Any) -> Any:
    """A step that no converter knows."""
    return np.asarray(pixels) / 2


def digits() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))


def forest() -> Any:
    return RandomForestClassifier(100, random_state=0)


def custom() -> Any:
    """Cannot be converted: served as it is, in a model host."""
    return make_pipeline(FunctionTransformer(halved), LogisticRegression(max_iter=500))


MODELS: dict[str, Callable[[], Any]] = {"digits": digits, "forest": forest, "custom": custom, "iris": digits}


def register(name: str) -> None:
    if name == "iris":
        frame, target = load_iris(return_X_y=True, as_frame=True)
    else:
        frame, target = load_digits(return_X_y=True)
    model = MODELS[name]().fit(frame[: len(frame) * 3 // 4], target[: len(frame) * 3 // 4])
    signature = infer_signature(frame, model.predict(frame))
    with mlflow.start_run(run_name=name):
        mlflow.log_metric("accuracy", float(model.score(frame, target)))
        mlflow.sklearn.log_model(
            model,
            name="model",
            signature=signature,
            input_example=frame[:20],
            registered_model_name=name,
            serialization_format="cloudpickle" if name == "custom" else "skops",
            skops_trusted_types=["sklearn.tree._tree.Tree"] if name == "forest" else None,
            pip_requirements=["mlflow", "scikit-learn"],  # given, because the search for them takes seconds
        )


def main() -> None:
    warnings.filterwarnings("ignore")
    mlflow.set_experiment("bench")
    for name in sys.argv[1:]:
        register(name)


if __name__ == "__main__":
    main()
