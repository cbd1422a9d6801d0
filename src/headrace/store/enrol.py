"""A trained model becomes a version in MLflow's registry, once, whoever asks how often.

Called by flywheel.steps.register. Everything that it makes carries the mark of who asked (a turn's id); what carries it
already is used. A request that was under way when we were killed may still have been carried out: of two versions with
the same mark the first stands, and the others are deleted before anybody has heard of them.
"""

from __future__ import annotations

from time import time

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.exceptions import MlflowException

from headrace.store.dataset_sink import described
from headrace.store.reference import SCHEME
from headrace.store.registry import ABSENT
from headrace.types.errors import UpstreamError
from headrace.types.turn import Enrolment

MARK = "headrace.turn"


class Enroller:
    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def enrol(self, item: Enrolment) -> str:
        """models:/NAME/NUMBER. Raises UpstreamError while MLflow does not answer."""
        try:
            return self._enrol(item)
        except (MlflowException, OSError) as error:
            raise UpstreamError(f"MLflow could not register {item.model!r}: {error}", retry_after=5.0) from error

    def _enrol(self, item: Enrolment) -> str:
        if not self._marked(item):
            run_id = self._run(item)
            self._client.log_artifacts(run_id, item.folder, "model")
            self._model(item.model)
            source = f"{self._client.get_run(run_id).info.artifact_uri}/model"
            self._client.create_model_version(
                item.model,
                source,
                run_id=run_id,
                tags={MARK: item.mark, **item.tags},
                description=item.description,
            )
            self._client.set_terminated(run_id)
        first, *others = self._marked(item)
        for other in others:
            self._client.delete_model_version(item.model, other.version)
        return f"{SCHEME}{item.model}/{first.version}"

    def _marked(self, item: Enrolment) -> list[MlflowVersion]:
        quote = '"' if "'" in item.model else "'"
        found = self._client.search_model_versions(f"name={quote}{item.model}{quote}", max_results=1000)
        mine = [version for version in found if version.tags.get(MARK) == item.mark]
        return sorted(mine, key=lambda version: int(version.version))

    def _run(self, item: Enrolment) -> str:
        experiment = self._experiment(item.experiment)
        there = self._client.search_runs([experiment], f"tags.`{MARK}` = '{item.mark}'", max_results=1)
        if there:
            run_id = str(there[0].info.run_id)
        else:
            made = self._client.create_run(experiment, tags={MARK: item.mark, **item.tags}, run_name=item.mark)
            run_id = str(made.info.run_id)
        now = int(time() * 1000)
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, now, 0) for name, value in item.metrics.items()],
            params=[Param(name, value[:500]) for name, value in item.params.items()],
            tags=[RunTag(name, value) for name, value in item.tags.items()],
        )
        told = described(item.dataset)
        tags = [InputTag(tag["key"], tag["value"]) for tag in told["tags"]]
        self._client.log_inputs(run_id, [DatasetInput(Dataset(**told["dataset"]), tags)])
        return run_id

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self._client.create_experiment(name))
        except MlflowException as error:  # another turn was faster
            there = self._client.get_experiment_by_name(name)
            if there is None:
                raise error from None
            return str(there.experiment_id)

    def _model(self, name: str) -> None:
        try:
            self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != ABSENT:
                raise
            self._client.create_registered_model(name)
