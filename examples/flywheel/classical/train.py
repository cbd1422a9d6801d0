"""The training: a support vector machine on what was there, and on what people have said since."""

import mlflow
import numpy as np
from mlflow.models import infer_signature
from sklearn.svm import SVC

from headrace.client.training import Task, trainer


@trainer
def train(task: Task) -> None:
    rows = list(task.rows("train"))
    pixels = np.array([row["inputs"] for row in rows], dtype=float)
    labels = np.array([row["label"] for row in rows], dtype=np.int64)
    task.progress(0.3, f"{len(rows)} rows")
    model = SVC(**task.params).fit(pixels, labels)
    task.report(train_rows=float(len(rows)), train_accuracy=float(model.score(pixels, labels)))
    mlflow.sklearn.save_model(
        model,
        task.model,
        signature=infer_signature(pixels, model.predict(pixels)),
        input_example=pixels[:20],
        pip_requirements=["scikit-learn"],
    )
