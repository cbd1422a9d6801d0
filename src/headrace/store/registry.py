"""Model versions, as MLflow's registry knows them.

Called by the control plane only, in threads: importing mlflow takes 1.6 s and 170 MB, so it happens here and in child
processes. Decides how a version is found and what Headrace keeps of it; which one a reference means is reference.py's.
Ignores what is inside an artifact, except for the small text files that say how it was made.

MLflow not answering is an UpstreamError; a name that does not exist is NotFound and lists those that do.
"""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import httpx
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel, Run
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.exceptions import MlflowException

from headrace.base.files import tree_sha256
from headrace.store.mlmodel import MLMODEL, REQUIREMENTS, flavor_of, frameworks_of, read_mlmodel
from headrace.store.reference import SCHEME, Listed, Reference, choose, read_reference
from headrace.types.errors import ModelRefused, NotFound, UpstreamError
from headrace.types.model import ModelVersion, Stage

T = TypeVar("T")
SHA256_TAG = "headrace.sha256"
ABSENT = "RESOURCE_DOES_NOT_EXIST"
RUN_SECONDS = 60.0  # metrics may be logged after a run has ended: what we know of it is asked again after this
PAGE = 1000
# MLflow's client takes these from the environment only. Its own default, 7 retries with back-off, is four minutes of
# silence when the server is away; we have our own rounds.
CLIENT_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """Of the run and the logged model that a version came from."""

    metrics: dict[str, float]
    params: dict[str, str]
    dataset: str
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Making:
    """Of the files in its artifact; they never change."""

    flavor: str
    frameworks: dict[str, str]


class Registry:
    def __init__(self, uri: str) -> None:
        for name, value in CLIENT_DEFAULTS.items():
            os.environ.setdefault(name, value)
        self.uri = uri.rstrip("/")
        self._client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        self._origins: dict[str, tuple[float, _Origin]] = {}  # by source and run: when it was read, what it said
        self._makings: dict[str, _Making] = {}  # by source

    def alive(self) -> bool:
        try:
            return httpx.get(f"{self.uri}/health", timeout=2.0).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def resolve(self, uri: str) -> ModelVersion:
        """The version that `models:/…` means now. Its signature is in the artifact, not here."""
        return self._find(read_reference(uri))

    def names(self) -> tuple[str, ...]:
        found: list[str] = []
        token: str | None = None
        while True:
            with self._asking("list the models"):
                page = self._client.search_registered_models(max_results=PAGE, page_token=token)
            found += [model.name for model in page]
            token = page.token
            if not token:
                return tuple(sorted(found))

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        entities, aliases = self._entities(name)
        return tuple(self._describe(entities[number], aliases) for number in sorted(entities))

    def download(self, version: ModelVersion, folder: Path) -> Path:
        """All files of its artifact, below `folder`; the answer is where they are."""
        uri = self._download_uri(version)
        with self._asking(f"hand over the artifact of {version.uri}"):
            found = Path(download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=self.uri))
        if not (found / MLMODEL).is_file():
            raise ModelRefused(
                f"the artifact of {version.uri} has no {MLMODEL} file: it is empty, lost, or not an MLflow model",
                field="model",
            )
        return found

    def record_sha256(self, version: ModelVersion, *, artifact: Path | None = None) -> ModelVersion:
        """The version with the hash of its artifact tree, which is fixed, as a tag, the first time anyone asks.

        `artifact`: where it already lies; else it is downloaded for this.
        """
        if version.sha256:
            return version
        if artifact is None:
            with tempfile.TemporaryDirectory(prefix="headrace-sha256-") as folder:
                digest = tree_sha256(self.download(version, Path(folder)))
        else:
            digest = tree_sha256(artifact)
        recorded = self.resolve(version.uri).sha256  # another one may have been faster: the first stands
        if not recorded:
            self.set_tag(version.name, version.version, SHA256_TAG, digest)
        return replace(version, sha256=recorded or digest)

    def set_stage(self, name: str, version: int, stage: Stage) -> ModelVersion:
        """A move to Production archives the version that it replaces."""
        self._find(Reference(name=name, version=version))
        with self._asking(f"move {name} v{version} to {stage.value}"), warnings.catch_warnings():
            # Stages are deprecated in favour of aliases since MLflow 2.9, and stay: PRODUCT §1 promises them.
            warnings.simplefilter("ignore", FutureWarning)
            self._client.transition_model_version_stage(
                name, str(version), stage.value, archive_existing_versions=stage is Stage.PRODUCTION
            )
        return self._find(Reference(name=name, version=version))

    def set_alias(self, name: str, alias: str, version: int) -> None:
        self._find(Reference(name=name, version=version))
        with self._asking(f"point {alias!r} at {name} v{version}"):
            self._client.set_registered_model_alias(name, alias, str(version))

    def drop_alias(self, name: str, alias: str) -> None:
        """No harm when it is not there."""
        with self._asking(f"take {alias!r} away from {name}"):
            self._client.delete_registered_model_alias(name, alias)

    def set_tag(self, name: str, version: int, key: str, value: str) -> None:
        with self._asking(f"tag {name} v{version}"):
            self._client.set_model_version_tag(name, str(version), key, value)

    def _find(self, reference: Reference) -> ModelVersion:
        entities, aliases = self._entities(reference.name)
        listed = [Listed(version=n, stage=Stage(e.current_stage or Stage.NONE)) for n, e in entities.items()]
        return self._describe(entities[choose(reference, listed, aliases)], aliases)

    def _entities(self, name: str) -> tuple[dict[int, MlflowVersion], dict[str, int]]:
        try:
            model = self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != ABSENT:
                raise self._unanswered(f"look up the model {name!r}", error) from error
            there = ", ".join(self.names()) or "none"
            raise NotFound(f"no model {name!r} is registered; there is: {there}", field="model") from error
        quote = '"' if "'" in name else "'"
        found: dict[int, MlflowVersion] = {}
        token: str | None = None
        while True:
            with self._asking(f"list the versions of {name!r}"):
                page = self._client.search_model_versions(
                    f"name={quote}{name}{quote}", max_results=PAGE, page_token=token
                )
            found |= {int(entity.version): entity for entity in page}
            token = page.token
            if not token:
                return found, {alias: int(number) for alias, number in model.aliases.items()}

    def _describe(self, entity: MlflowVersion, aliases: Mapping[str, int]) -> ModelVersion:
        number = int(entity.version)
        version = ModelVersion(
            name=entity.name,
            version=number,
            uri=f"{SCHEME}{entity.name}/{number}",
            stage=Stage(entity.current_stage or Stage.NONE),
            aliases=tuple(sorted(alias for alias, target in aliases.items() if target == number)),
            sha256=entity.tags.get(SHA256_TAG, ""),
            run_id=entity.run_id or "",
            created=entity.creation_timestamp / 1000,
            description=entity.description or "",
        )
        making = self._making(entity.source or "", version)
        origin = self._origin(entity.source or "", version.run_id)
        return replace(
            version,
            flavor=making.flavor,
            frameworks=making.frameworks,
            metrics=origin.metrics,
            params=origin.params,
            dataset=origin.dataset,
        )

    def _making(self, source: str, version: ModelVersion) -> _Making:
        if source not in self._makings:
            uri = self._download_uri(version)
            mlmodel = self._small_file(f"{uri}/{MLMODEL}")
            if not mlmodel:
                return _Making(flavor="", frameworks={})  # the artifact is gone: to be seen, not to be remembered
            content = read_mlmodel(mlmodel)
            frameworks = frameworks_of(content, self._small_file(f"{uri}/{REQUIREMENTS}"))
            self._makings[source] = _Making(flavor=flavor_of(content), frameworks=frameworks)
        return self._makings[source]

    def _origin(self, source: str, run_id: str) -> _Origin:
        key = f"{source} {run_id}"
        now = time.monotonic()
        then, origin = self._origins.get(key, (0.0, None))
        if origin is None or not origin.ended or now - then > RUN_SECONDS:
            origin = self._read_origin(source, run_id)
            self._origins[key] = (now, origin)
        return origin

    def _read_origin(self, source: str, run_id: str) -> _Origin:
        run = self._run(run_id) if run_id else None
        logged = self._logged_model(source.removeprefix(SCHEME)) if source.startswith(f"{SCHEME}m-") else None
        metrics: dict[str, float] = dict(run.data.metrics) if run else {}
        params: dict[str, str] = dict(run.data.params) if run else {}
        if logged:  # a run may have logged several models: what hangs on this one is nearer
            metrics |= {metric.key: metric.value for metric in logged.metrics or ()}
            params |= logged.params or {}
        return _Origin(metrics=metrics, params=params, dataset=_dataset(run), ended=bool(run and run.info.end_time))

    def _run(self, run_id: str) -> Run | None:
        return self._maybe(f"look up the run {run_id}", lambda: self._client.get_run(run_id))

    def _logged_model(self, model_id: str) -> LoggedModel | None:
        return self._maybe(f"look up the logged model {model_id}", lambda: self._client.get_logged_model(model_id))

    def _small_file(self, uri: str) -> str:
        """Its text, or "" when it is not there."""

        def read(folder: str) -> str:
            return Path(download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=self.uri)).read_text()

        with tempfile.TemporaryDirectory(prefix="headrace-file-") as folder:
            return self._maybe(f"hand over {uri}", lambda: read(folder)) or ""

    def _download_uri(self, version: ModelVersion) -> str:
        with self._asking(f"say where the artifact of {version.uri} is"):
            return str(self._client.get_model_version_download_uri(version.name, str(version.version))).rstrip("/")

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except MlflowException as error:
            if error.error_code == ABSENT:
                raise NotFound(f"MLflow could not {what}: {error.message}", field="model") from error
            raise self._unanswered(what, error) from error
        except OSError as error:  # the connection broke in the middle of a download (requests' errors are OSErrors)
            raise self._unanswered(what, error) from error

    def _maybe(self, what: str, ask: Callable[[], T]) -> T | None:
        """The answer, or None for something that does not exist (any more)."""
        try:
            with self._asking(what):
                return ask()
        except NotFound:
            return None

    def _unanswered(self, what: str, error: Exception) -> UpstreamError:
        return UpstreamError(f"MLflow at {self.uri} could not {what}: {error}", retry_after=5.0)


def _dataset(run: Run | None) -> str:
    """name@digest of what it was trained on: the input whose context says so, else the first."""
    inputs = list(run.inputs.dataset_inputs) if run and run.inputs else []
    if not inputs:
        return ""
    training = [i for i in inputs if any(t.key == "mlflow.data.context" and t.value == "training" for t in i.tags)]
    dataset = (training or inputs)[0].dataset
    return f"{dataset.name}@{dataset.digest}"
