"""The registry as it is now: versions and their checksums kept, endpoints made to follow its stages and aliases.

Called by the engine's clock, and at once when a registry call has passed through our way into MLflow. So a stage that
was moved with a stock MLflow client switches traffic too.
"""

from __future__ import annotations

import logging

from headrace.base.log import fields
from headrace.release import moves, protect
from headrace.release.change import wanted_variants, with_registry, with_variant
from headrace.release.claims import Claims
from headrace.release.deploy import go_live, publish_change
from headrace.release.moves import Said
from headrace.release.parts import Cause, Parts
from headrace.release.ready import make_ready
from headrace.release.record import Moved
from headrace.store import endpoints, releases, versions
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.errors import HeadraceError
from headrace.types.model import ModelVersion, Stage
from headrace.types.upstream import FIRST_VERSION

log = logging.getLogger("headrace.release")

ACTOR = "system:registry"
REASON = "its stage in the registry is Production"


def sync(parts: Parts, claims: Claims) -> None:
    """Raises UpstreamError when MLflow does not answer; then everything stays as it was."""
    moves.keep(parts)
    causes: dict[str, Cause] = {}
    now = _read(parts, claims, causes)
    with parts.database.read() as conn:
        serving = endpoints.all(conn)
        busy = {m.endpoint for r in releases.active(conn) for m in r.members}
        promised = moves.promised(conn)
    now = tuple(version if version.sha256 else _fingerprint(parts, version) for version in now)
    for endpoint in serving:
        # One that is parked follows when it is loaded again.
        if endpoint.name not in busy and endpoint.model not in promised and not endpoint.parked:
            known = [v for v in now if v.name == endpoint.model]
            _follow(parts, endpoint, known, causes.get(endpoint.model, Cause(actor=ACTOR)))


def _read(parts: Parts, claims: Claims, causes: dict[str, Cause]) -> tuple[ModelVersion, ...]:
    """All versions as they are now, kept, and their moves in the history. `causes` gets who made one live, by model."""

    def who(moved: Moved) -> Said:
        said = claims.who(moved)
        if moved.now == Stage.PRODUCTION:
            causes[moved.model] = Cause(actor=said.actor, reason=said.reason or REASON, approval=said.approval)
        return said

    with parts.registering:
        now = {name: parts.registry.versions(name) for name in parts.registry.names()}
        with parts.database.read() as conn:
            before = {name: versions.all(conn, name) for name in versions.names(conn)}
        now = {
            name: protect.put_back(parts, name, before.get(name, ()), found)
            if found != before.get(name, found)
            else found
            for name, found in now.items()
        }
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            with parts.database.write() as conn:
                for name in changed:
                    moves.keep_versions(conn, parts, name, now.get(name, ()), who=who)
    return tuple(version for known in now.values() for version in known)


def _fingerprint(parts: Parts, version: ModelVersion) -> ModelVersion:
    """Its checksum, recorded the first time we see it. One that cannot be fetched waits for the next round."""
    try:
        recorded = parts.registry.record_sha256(version)
    except HeadraceError as error:
        log.warning("no checksum for a version", extra=fields(version=version.uri, reason=error.sentence()))
        return version
    with parts.database.write() as conn:
        versions.put(conn, recorded)
    return recorded


def _follow(parts: Parts, endpoint: Endpoint, known: list[ModelVersion], cause: Cause) -> None:
    try:
        _switch(parts, endpoint, known, cause)
        ready = [
            make_ready(parts, version, endpoint=endpoint.name, progress=log.debug)
            for version in wanted_variants(endpoint, known)
        ]
        _refresh(parts, endpoint.name, ready, known)
    except HeadraceError as error:
        log.warning(
            "an endpoint could not follow the registry", extra=fields(endpoint=endpoint.name, reason=error.sentence())
        )


def _switch(parts: Parts, endpoint: Endpoint, known: list[ModelVersion], cause: Cause) -> None:
    """Production in the registry is what has the traffic, unless somebody gave it to a service elsewhere."""
    live = endpoint.variant(endpoint.policy.baseline)
    if live is not None and live.model.version >= FIRST_VERSION:
        return
    chosen = next((v for v in known if v.stage is Stage.PRODUCTION), None)
    if chosen is None or (live is not None and live.model.version == chosen.version):
        return
    variant = make_ready(parts, chosen, endpoint=endpoint.name, progress=log.debug)
    go_live(parts, endpoint=endpoint.name, variant=variant, cause=cause, progress=log.debug)


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
