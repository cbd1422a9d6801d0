"""What a person does with the stock MLflow client, from end to end; MLFLOW_TRACKING_URI says where. Prints JSON.

A program of its own: MLflow keeps its state per process, and warns about its own future.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression

LARGE = 30 << 20


def main() -> None:
    warnings.filterwarnings("ignore")
    client, told = MlflowClient(), {}
    mlflow.set_experiment("a walk")
    told["run"] = record_run(client)
    told["registry"] = use_registry(client)
    told["traces"] = trace(client)
    told["health"] = mlflow.MlflowClient().get_experiment_by_name("a walk") is not None
    json.dump(told, sys.stdout)


def record_run(client: MlflowClient) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, mlflow.start_run(run_name="one") as run:
        mlflow.log_params({"depth": 3, "näme": "wert & mehr"})
        for step in range(3):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.set_tag("team", "α")
        file = Path(folder) / "large file.bin"
        file.write_bytes(np.random.default_rng(0).bytes(LARGE))
        mlflow.log_artifact(str(file), artifact_path="sub folder")
        frame = mlflow.data.from_numpy(np.arange(6.0).reshape(3, 2), name="numbers")
        mlflow.log_input(frame, context="training")
        back = mlflow.artifacts.download_artifacts(
            run_id=run.info.run_id, artifact_path="sub folder/large file.bin", dst_path=folder + "/back"
        )
        found = client.get_run(run.info.run_id)
        return {
            "params": found.data.params,
            "steps": [m.step for m in client.get_metric_history(run.info.run_id, "loss")],
            "artifacts": [a.path for a in client.list_artifacts(run.info.run_id, "sub folder")],
            "same": Path(back).read_bytes() == file.read_bytes(),
            "inputs": [i.dataset.name for i in found.inputs.dataset_inputs],
            "searched": len(client.search_runs([found.info.experiment_id], "params.depth = '3'")),
        }


def use_registry(client: MlflowClient) -> dict[str, Any]:
    rows = np.arange(8.0).reshape(4, 2)
    model = LogisticRegression().fit(rows, [0, 0, 1, 1])
    for _ in range(2):
        mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name="walked",
            input_example=rows[:1],
            pip_requirements=["scikit-learn"],
        )
    client.transition_model_version_stage("walked", "1", "Production")
    client.transition_model_version_stage("walked", "2", "Production", archive_existing_versions=True)
    client.set_registered_model_alias("walked", "champion", "2")
    client.set_model_version_tag("walked", "2", "checked", "yes")
    loaded = mlflow.pyfunc.load_model("models:/walked@champion")
    aliased = dict(client.get_registered_model("walked").aliases)
    client.delete_registered_model_alias("walked", "champion")
    return {
        "stages": {v.version: v.current_stage for v in client.search_model_versions("name='walked'")},
        "aliases": aliased,
        "left": dict(client.get_registered_model("walked").aliases),
        "predicts": loaded.predict(rows).tolist(),
    }


def trace(client: MlflowClient) -> dict[str, Any]:
    @mlflow.trace
    def answer(question: str) -> str:
        return question.upper()

    answer("why")
    mlflow.flush_trace_async_logging()
    trace_id = mlflow.get_last_active_trace_id()
    mlflow.log_feedback(trace_id=trace_id, name="good", value=True)
    found = client.get_trace(trace_id)
    return {
        "output": json.loads(found.data.response),
        "feedback": [a.value for a in found.info.assessments],
    }


if __name__ == "__main__":
    main()
