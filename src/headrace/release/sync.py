"""The registry as it is now: versions and their checksums kept, endpoints made to follow its stages and aliases.

Called by the engine's clock, and at once when a registry call has passed through our way into MLflow. So a stage that
was moved with a stock MLflow client switches traffic too.
"""

from __future__ import annotations

import logging

from headrace.base.log import fields
from headrace.release import moves
from headrace.release.change import wanted_variants, with_registry, with_variant
from headrace.release.deploy import go_live, publish_change
from headrace.release.parts import Parts
from headrace.release.ready import make_ready
from headrace.store import endpoints, releases, versions
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.errors import HeadraceError
from headrace.types.model import ModelVersion, Stage
from headrace.types.upstream import FIRST_VERSION

log = logging.getLogger("headrace.release")

ACTOR = "system:registry"


def sync(parts: Parts) -> None:
    """Raises UpstreamError when MLflow does not answer; then everything stays as it was."""
    moves.keep(parts)
    now = {v.uri: v for name in parts.registry.names() for v in parts.registry.versions(name)}
    with parts.database.read() as conn:
        before = {v.uri: v for v in versions.all(conn)}
        serving = endpoints.all(conn)
        busy = {m.endpoint for r in releases.active(conn) for m in r.members}
        promised = moves.promised(conn)
    now = {uri: version if version.sha256 else _fingerprint(parts, version) for uri, version in now.items()}
    _keep(parts, before, now)
    for endpoint in serving:
        # One that is parked follows when it is loaded again.
        if endpoint.name not in busy and endpoint.model not in promised and not endpoint.parked:
            _follow(parts, endpoint, [v for v in now.values() if v.name == endpoint.model])


def _fingerprint(parts: Parts, version: ModelVersion) -> ModelVersion:
    """Its checksum, recorded the first time we see it. One that cannot be fetched waits for the next round."""
    try:
        return parts.registry.record_sha256(version)
    except HeadraceError as error:
        log.warning("no checksum for a version", extra=fields(version=version.uri, reason=error.sentence()))
        return version


def _keep(parts: Parts, before: dict[str, ModelVersion], now: dict[str, ModelVersion]) -> None:
    if before == now:
        return
    with parts.database.write() as conn:
        for uri, version in now.items():
            if before.get(uri) != version:
                versions.put(conn, version)
        for uri in before.keys() - now.keys():
            versions.remove(conn, before[uri].name, before[uri].version)


def _follow(parts: Parts, endpoint: Endpoint, known: list[ModelVersion]) -> None:
    try:
        _switch(parts, endpoint, known)
        ready = [
            make_ready(parts, version, endpoint=endpoint.name, progress=log.debug)
            for version in wanted_variants(endpoint, known)
        ]
        _refresh(parts, endpoint.name, ready, known)
    except HeadraceError as error:
        log.warning(
            "an endpoint could not follow the registry", extra=fields(endpoint=endpoint.name, reason=error.sentence())
        )


def _switch(parts: Parts, endpoint: Endpoint, known: list[ModelVersion]) -> None:
    """Production in the registry is what has the traffic, unless somebody gave it to a service elsewhere."""
    live = endpoint.variant(endpoint.policy.baseline)
    if live is not None and live.model.version >= FIRST_VERSION:
        return
    chosen = next((v for v in known if v.stage is Stage.PRODUCTION), None)
    if chosen is None or (live is not None and live.model.version == chosen.version):
        return
    variant = make_ready(parts, chosen, endpoint=endpoint.name, progress=log.debug)
    go_live(parts, endpoint=endpoint.name, variant=variant, actor=ACTOR, progress=log.debug)


def _refresh(parts: Parts, name: str, ready: list[Variant], known: list[ModelVersion]) -> None:
    def change(current: Endpoint | None) -> Endpoint:
        if current is None:
            raise LookupError(name)
        for variant in ready:
            current = with_variant(current, variant)
        return current

    with parts.database.write() as conn:
        current = endpoints.get(conn, name)
        if current is None or releases.active_for(conn, name) is not None:
            return
        if change(current) == with_registry(current, known) == current:
            return
        publish_change(conn, parts, name, change, reason=f"{name}: stages and aliases of the registry")
