"""Stage moves: the registry's word, and the traffic that follows it.

Called by the service. A version moved to Production takes all traffic of the endpoints that serve its model, at once; a
version moved to Staging is loaded, so that callers may ask for it.
"""

from __future__ import annotations

from headrace.release.deploy import check_free, go_live
from headrace.release.moves import keep_versions, said_by
from headrace.release.parts import Cause, Parts, Progress
from headrace.release.ready import make_ready
from headrace.store import endpoints
from headrace.types.endpoint import Endpoint
from headrace.types.errors import Conflict
from headrace.types.model import ModelVersion, Stage


def move_stage(
    parts: Parts, *, model: str, version: int, stage: Stage, cause: Cause, progress: Progress
) -> ModelVersion:
    """Raises NotFound, UpstreamError, and Conflict: a release runs, or the version is live and would lose its stage."""
    found = parts.registry.resolve(f"models:/{model}/{version}")
    with parts.database.read() as conn:
        serving = [e for e in endpoints.all(conn) if e.model == model]
        for endpoint in serving:
            check_free(conn, endpoint.name)
    if stage is Stage.PRODUCTION:
        for endpoint in serving:
            variant = make_ready(parts, found, endpoint=endpoint.name, progress=progress)
            go_live(parts, endpoint=endpoint.name, variant=variant, cause=cause, progress=progress)
    else:
        _check_not_live(serving, version, stage)
    said = said_by(cause)
    with parts.registering:
        moved = parts.registry.set_stage(model, version, stage)
        now = parts.registry.versions(model)
        with parts.database.write() as conn:
            keep_versions(conn, parts, model, now, who=lambda _: said)
    return moved


def _check_not_live(serving: list[Endpoint], version: int, stage: Stage) -> None:
    for endpoint in serving:
        live = endpoint.variant(endpoint.policy.baseline)
        if live is not None and live.model.version == version:
            raise Conflict(
                f"version {version} is live on endpoint {endpoint.name!r} and cannot move to {stage.value}",
                field="stage",
                hint="move another version to Production first; that archives this one",
            )
