"""Moves in the MLflow registry that follow a change of traffic: promised in its transaction, made afterwards.

Called by deploy, stage and act (promise), and by the engine's clock (keep). MLflow may be down while traffic is
decided; the promise waits in the outbox, and sync leaves that model alone until it is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from headrace.base.log import fields
from headrace.release.parts import Cause, Parts
from headrace.release.record import Moved, registry_moves
from headrace.store import audit, outbox, versions
from headrace.store.db import Connection
from headrace.types.errors import NotFound, UpstreamError
from headrace.types.model import ModelVersion, Stage
from headrace.types.upstream import FIRST_VERSION

log = logging.getLogger("headrace.release")

DUE, HELD = "registry.stage", "registry.stage.held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """`actor` and `reason`: whose decision it follows, and which one that was."""

    model: str
    version: int
    stage: Stage
    actor: str = "system:release"
    reason: str = ""


def promise(conn: Connection, move: Move, *, now: float, held: bool = False) -> None:
    """A held one waits until it is known whether the data planes take the plan: `release` or `drop` it then. A service
    has no stage: it is in no registry."""
    if move.version >= FIRST_VERSION:
        return
    outbox.add(conn, kind=HELD if held else DUE, body=msgspec.json.encode(move).decode(), now=now)


def release(conn: Connection, move: Move, *, now: float) -> None:
    drop(conn, move)
    promise(conn, move, now=now)


def drop(conn: Connection, move: Move) -> None:
    for parcel in outbox.pending(conn):
        if parcel.kind == HELD and _move(parcel) == move:
            outbox.done(conn, parcel.id)


def release_all(parts: Parts) -> None:
    """At the start of a process: what another one held when it died. Its plan stands, so the registry follows it."""
    with parts.database.write() as conn:
        for parcel in outbox.pending(conn):
            if parcel.kind == HELD:
                release(conn, _move(parcel), now=parts.clock.now())


def promised(conn: Connection) -> set[str]:
    """Models whose stages are about to change."""
    return {_move(parcel).model for parcel in outbox.pending(conn) if parcel.kind in (DUE, HELD)}


def keep(parts: Parts) -> int:
    """Make the moves that are due, in order; stops at the first that MLflow does not answer. How many were made."""
    with parts.database.read() as conn:
        parcels = [p for p in outbox.pending(conn) if p.kind == DUE]
    for number, parcel in enumerate(parcels):
        move = _move(parcel)
        try:
            with parts.registering:
                _make(parts, parcel.id, move)
        except UpstreamError as error:
            with parts.database.write() as conn:
                outbox.failed(conn, parcel.id, error.sentence())
            return number
    return len(parcels)


def _make(parts: Parts, parcel: int, move: Move) -> None:
    try:
        parts.registry.set_stage(move.model, move.version, move.stage)
        changed = parts.registry.versions(move.model)
    except NotFound as error:
        log.warning("a version that should be moved is gone", extra=fields(move=move, reason=error.sentence()))
        changed = ()
    with parts.database.write() as conn:
        outbox.done(conn, parcel)
        if changed:
            keep_versions(conn, parts, move.model, changed, who=lambda _: Said(actor=move.actor, reason=move.reason))


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Who moved something in the registry, and why, as far as it is known."""

    actor: str
    reason: str = ""
    approval: str = ""
    approvers: tuple[str, ...] = ()


def said_by(cause: Cause) -> Said:
    return Said(actor=cause.actor, reason=cause.reason, approval=cause.approval, approvers=cause.approvers)


def keep_versions(
    conn: Connection, parts: Parts, model: str, now: Sequence[ModelVersion], *, who: Callable[[Moved], Said]
) -> None:
    """All versions of a model as the registry has them now; each stage and alias that has moved goes into the history.
    To be called while `parts.registering` is held."""
    before = {version.uri: version for version in versions.all(conn, model)}
    for moved in registry_moves(before.values(), now):
        said = who(moved)
        about = replace(moved.about, reason=said.reason, approval=said.approval, approvers=said.approvers)
        subject, at = f"model:{model}/{moved.version}", parts.clock.now()
        audit.append(
            conn, actor=said.actor, action=moved.action, subject=subject, detail=moved.detail, now=at, about=about
        )
    for version in now:
        if before.pop(version.uri, None) != version:
            versions.put(conn, version)
    for gone in before.values():  # what was not met above
        versions.remove(conn, gone.name, gone.version)


def _move(parcel: outbox.Parcel) -> Move:
    return msgspec.json.decode(parcel.body, type=Move)
