"""Dataset versions in MLflow: a run in the experiment `headrace-datasets` whose input is the dataset.

Called by flywheel/datasets.py, in a loop of the control plane. Decides how a version looks there. MLflow's own digest
is not trusted (it hashes 10,000 rows to 8 digits): the digest is the beginning of our id, and the tags have all of it,
the row hash, and the parents. Speaks MLflow's public REST interface, so it does not import mlflow. Listing twice is
harmless: a run is looked up by its tag first.
"""

from __future__ import annotations

from typing import Any, Final

import httpx
import msgspec

from headrace.types.dataset import DatasetVersion
from headrace.types.errors import UpstreamError

EXPERIMENT: Final = "headrace-datasets"
TAG: Final = "headrace.dataset"
_API: Final = "/api/2.0/mlflow"
_DIGEST: Final = 15  # characters: `ds_` and 48 bits; MLflow takes 36
_TYPES: Final = {"bool": "boolean", "int": "long", "float": "double", "str": "string"}


class DatasetSink:
    def __init__(self, uri: str, *, client: httpx.Client | None = None) -> None:
        self._uri = uri.rstrip("/")
        self._client = client or httpx.Client(timeout=30.0)

    def list(self, version: DatasetVersion) -> str:
        """The run that shows it. Raises UpstreamError when MLflow cannot take it now."""
        experiment = self._experiment()
        found = self._ask(
            "POST",
            f"{_API}/runs/search",
            json={"experiment_ids": [experiment], "filter": f"tags.`{TAG}` = '{version.id}'", "max_results": 1},
        )
        if runs := found.get("runs"):
            return str(runs[0]["info"]["run_id"])
        told = self._ask(
            "POST",
            f"{_API}/runs/create",
            json={
                "experiment_id": experiment,
                "run_name": f"{version.name}@{version.number}",
                "start_time": int(version.created * 1000),
            },
        )
        run = str(told["run"]["info"]["run_id"])
        self._ask("POST", f"{_API}/runs/log-inputs", json={"run_id": run, "datasets": [described(version)]})
        self._ask(
            "POST",
            f"{_API}/runs/log-batch",
            json={"run_id": run, "metrics": _metrics(version), "tags": _tags(version), "params": _params(version)},
        )
        end = {"run_id": run, "status": "FINISHED", "end_time": int(version.created * 1000)}
        self._ask("POST", f"{_API}/runs/update", json=end)
        return run

    def close(self) -> None:
        self._client.close()

    def _experiment(self) -> str:
        by_name = f"{_API}/experiments/get-by-name"
        found = self._send("GET", by_name, params={"experiment_name": EXPERIMENT})
        if found.status_code == httpx.codes.NOT_FOUND:
            return str(self._ask("POST", f"{_API}/experiments/create", json={"name": EXPERIMENT})["experiment_id"])
        return str(self._checked(found, by_name)["experiment"]["experiment_id"])

    def _ask(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        return self._checked(self._send(method, path, **content), path)

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._client.request(method, self._uri + path, **content)
        except httpx.HTTPError as error:
            raise UpstreamError(f"MLflow at {self._uri} does not answer: {error!r}", retry_after=5.0) from error

    def _checked(self, response: httpx.Response, path: str) -> dict[str, Any]:
        if response.status_code != httpx.codes.OK:
            raise UpstreamError(
                f"MLflow could not list a dataset: {path} gave {response.status_code}, {response.text[:300]}",
                retry_after=5.0,
            )
        return dict(response.json())


def described(version: DatasetVersion) -> dict[str, Any]:
    """As the input of a run: also what a training run says it learned from."""
    columns = [
        {"type": _TYPES.get(kind, "string"), "name": name, "required": False} for name, kind in version.columns.items()
    ]
    counts = {"num_rows": version.rows} | {file.split: file.rows for file in version.files}
    source = {"uri": f"headrace://datasets/{version.id}", "name": f"{version.name}@{version.number}"}
    return {
        "tags": [{"key": "mlflow.data.context", "value": "training"}, *_tags(version)],
        "dataset": {
            "name": version.name,
            "digest": version.id[:_DIGEST],
            "source_type": "headrace",
            "source": msgspec.json.encode(source).decode(),
            "schema": msgspec.json.encode({"mlflow_colspec": columns}).decode(),
            "profile": msgspec.json.encode(counts).decode(),
        },
    }


def _tags(version: DatasetVersion) -> list[dict[str, str]]:
    tags = {TAG: version.id, "headrace.row_hash": version.row_hash, "headrace.code": version.code}
    tags |= {"headrace.version": str(version.number), "headrace.parents": ",".join(version.parents)}
    return [{"key": key, "value": value} for key, value in tags.items() if value]


def _params(version: DatasetVersion) -> list[dict[str, str]]:
    return [{"key": "query", "value": version.query[:500]}] if version.query else []


def _metrics(version: DatasetVersion) -> list[dict[str, Any]]:
    counts = {"rows": version.rows, "corrected": version.corrected} | {f"rows_{f.split}": f.rows for f in version.files}
    now = int(version.created * 1000)
    return [{"key": key, "value": float(count), "timestamp": now, "step": 0} for key, count in counts.items()]
