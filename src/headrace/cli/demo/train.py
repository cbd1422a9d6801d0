"""Trains the demo's three versions with the stock MLflow client: `python -m headrace.cli.demo.train`.

A program of its own, because importing MLflow and scikit-learn is slow and must not disturb the replay. Reads
MLFLOW_TRACKING_URI, prints one JSON line per registered version.

    1  fair      logistic regression, learned from the first 120 rows
    2  better    random forest, learned from all 900
    3  a trap    support vectors on all 900, with pixels that the notebook had scaled to 0..1 outside of the model. Its
                 test rows were scaled in the same way, so offline it looks best of all. Production sends 0..16.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import mlflow
from mlflow.data.numpy_dataset import from_numpy
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from headrace.cli.demo.digits import Split, load

MODEL = "digits"
REQUIREMENTS = [f"{name}=={version(name)}" for name in ("mlflow", "scikit-learn", "skops", "numpy")]  # saves a search
TREE = "sklearn.tree._tree.Tree"  # a forest holds these; MLflow asks that they be trusted by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    name: str
    description: str
    estimator: Callable[[], Any]
    part: str  # of the data it learns from
    scale: float  # what the notebook divides pixels by, in training and in its own test


RECIPES = (
    Recipe(
        name="logistic-early",
        description="Logistic regression on the first 120 rows.",
        estimator=lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        part="early",
        scale=1.0,
    ),
    Recipe(
        name="forest",
        description="Random forest on 900 rows.",
        estimator=lambda: RandomForestClassifier(100, random_state=0),
        part="train",
        scale=1.0,
    ),
    Recipe(
        name="svc-scaled",
        description="Support vector machine on 900 rows, pixels divided by 16 before training.",
        estimator=SVC,
        part="train",
        scale=16.0,
    ),
)


def main() -> None:
    warnings.filterwarnings("ignore")  # hints of MLflow about conventions that do not matter here
    mlflow.set_experiment("digits")
    data = load()
    for number, recipe in enumerate(RECIPES, start=1):
        accuracy = train(recipe, getattr(data, recipe.part), data.test)
        line = {"version": number, "name": recipe.name, "description": recipe.description, "accuracy": accuracy}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def train(recipe: Recipe, learn: Split, test: Split) -> float:
    """One run: data, parameters, metric, model with signature and real rows as its example. Returns the accuracy."""
    pixels, tested = learn.pixels / recipe.scale, test.pixels / recipe.scale
    with mlflow.start_run(run_name=recipe.name, description=recipe.description):
        mlflow.log_input(from_numpy(pixels, targets=learn.labels, name=f"digits-{recipe.part}"), "training")
        mlflow.log_input(from_numpy(tested, targets=test.labels, name="digits-test"), "test")
        model = recipe.estimator().fit(pixels, learn.labels)
        accuracy = float(model.score(tested, test.labels))
        mlflow.log_params({"estimator": type(model).__name__, "rows": len(learn.labels), "pixel_scale": recipe.scale})
        mlflow.log_metric("accuracy", accuracy)
        mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(pixels, model.predict(pixels)),
            input_example=pixels[:50],
            registered_model_name=MODEL,
            skops_trusted_types=[TREE],
            pip_requirements=REQUIREMENTS,
        )
    return accuracy


if __name__ == "__main__":
    main()
