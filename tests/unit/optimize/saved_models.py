"""Models saved as a stock MLflow client saves them, on real data; used by the tests of this room."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

TREES = "sklearn.tree._tree.Tree"


def digits() -> tuple[np.ndarray, np.ndarray]:
    return load_digits(return_X_y=True)


def iris() -> tuple[pd.DataFrame, np.ndarray]:
    inputs, classes = load_iris(return_X_y=True, as_frame=True)
    return inputs, classes.to_numpy()


def save(folder: Path, model: Any, inputs: Any, *, example: int = 40, **options: Any) -> Path:
    """`example` rows of `inputs` go along; 0 saves none. Other options go to MLflow."""
    options.setdefault("skops_trusted_types", [TREES])
    if options.get("serialization_format") == "cloudpickle":
        del options["skops_trusted_types"]
    options.setdefault("signature", infer_signature(inputs, model.predict(inputs)))
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own advice (integer columns, pickles)
        mlflow.sklearn.save_model(
            model,
            str(folder),
            input_example=inputs[:example] if example else None,
            pip_requirements=["scikit-learn"],
            **options,
        )
    return folder


def scaled_logistic() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(*digits())


def custom_code() -> Any:
    """No converter knows what is inside this function; cloudpickle takes it along by value."""

    def centre(rows: Any) -> Any:
        return rows - 8.0

    return make_pipeline(FunctionTransformer(centre), LogisticRegression(max_iter=300)).fit(*digits())
