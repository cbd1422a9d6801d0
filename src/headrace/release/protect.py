"""Stages and aliases that two people move, whichever way is taken.

Called by the service for requests through /mlflow before they are passed on (admit), and by sync for what happened
behind our back (put_back): a protected stage or alias that was moved there without approval goes back to where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from headrace.base.log import fields
from headrace.release import approvals, deeds, permit
from headrace.release.parts import Cause, Parts
from headrace.release.record import DELETED, Moved, RegistryCall, registry_moves
from headrace.store import audit, endpoints, versions
from headrace.store.db import Connection
from headrace.types.approval import Approvals
from headrace.types.errors import Forbidden
from headrace.types.model import ModelVersion, Stage

log = logging.getLogger("headrace.release")

ACTOR = "system:registry"


def admit(parts: Parts, call: RegistryCall, cause: Cause) -> Cause:
    """Raises ApprovalNeeded, and Forbidden for what would take a protected stage or alias away with its version."""
    with parts.database.read() as conn:
        known = versions.all(conn, call.model)
        protecting = [e for e in endpoints.all(conn) if e.model == call.model and e.approvals.any]
    if not protecting:
        return cause
    if call.gone:
        _check_not_protected(call, known, [e.approvals for e in protecting])
        return cause
    stage = next((v.stage for v in known if v.version == call.version), Stage.NONE)
    deed = deeds.of_call(call, stage.value)
    return permit.permit(parts, deed, deeds.sentence_of(deed), cause)


def put_back(
    parts: Parts, model: str, before: Sequence[ModelVersion], now: Sequence[ModelVersion]
) -> tuple[ModelVersion, ...]:
    """The versions as they are after everything unapproved went back. To be called while `registering` is held."""
    with parts.database.read() as conn:
        if not any(e.model == model and e.approvals.any for e in endpoints.all(conn)):
            return tuple(now)
        moved = registry_moves(before, now)
        wrong = [one for one in moved if _unapproved(conn, one, moved, parts.clock.now())]
    for one in wrong:
        _restore(parts, one, before)
        log.warning("a move in the registry was not approved and was taken back", extra=fields(move=one))
        detail = f"{one.detail}: not approved, put back"
        subject, action = f"model:{model}/{one.version}", one.action.replace("move", "put_back")
        with parts.database.write() as conn:
            audit.append(
                conn, actor=ACTOR, action=action, subject=subject, detail=detail, now=parts.clock.now(), about=one.about
            )
    return parts.registry.versions(model) if wrong else tuple(now)


def _unapproved(conn: Connection, one: Moved, all_moves: Sequence[Moved], now: float) -> bool:
    """What was archived because another one took its place went with that one; what was deleted cannot come back."""
    if one.now == DELETED:
        return False
    if not one.name and one.now == Stage.ARCHIVED and any(_takes_place(other, one) for other in all_moves):
        return False
    deed = deeds.of_call(one.call, one.was)
    return approvals.policy_for(deed, endpoints.all(conn)) is not None and not permit.is_settling(conn, deed, now)


def _takes_place(other: Moved, one: Moved) -> bool:
    return not other.name and other.version != one.version and other.now == one.was


def _restore(parts: Parts, one: Moved, before: Sequence[ModelVersion]) -> None:
    if one.name:
        pointed = next((v.version for v in before if one.name in v.aliases), 0)
        if pointed:
            parts.registry.set_alias(one.model, one.name, pointed)
        else:
            parts.registry.drop_alias(one.model, one.name)
        return
    parts.registry.set_stage(one.model, one.version, Stage(one.was))
    for version in before:  # whom it had put out of its place
        if version.version != one.version and version.stage == one.now and version.stage is not Stage.ARCHIVED:
            parts.registry.set_stage(one.model, version.version, version.stage)


def _check_not_protected(call: RegistryCall, known: Sequence[ModelVersion], policies: Sequence[Approvals]) -> None:
    stages = {stage for policy in policies for stage in policy.stages}
    aliases = {alias for policy in policies for alias in policy.aliases}
    for version in known:
        if call.version not in (0, version.version):
            continue
        held = [f"@{alias}" for alias in version.aliases if alias in aliases]
        held += [version.stage.value] if version.stage in stages else []
        if held:
            raise Forbidden(
                f"{call.model} version {version.version} is {held[0]}, which is protected: it cannot be removed",
                field="version",
                hint="move the stage or the alias to another version first",
            )
