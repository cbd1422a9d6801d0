"""Moves in the MLflow registry that follow a change of traffic: promised in its transaction, made afterwards.

Called by deploy, stage and act (promise), and by the engine's clock (keep). MLflow may be down while traffic is
decided; the promise waits in the outbox, and sync leaves that model alone until it is kept.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import msgspec

from headrace.base.log import fields
from headrace.release.parts import Parts
from headrace.store import outbox, versions
from headrace.store.db import Connection
from headrace.types.errors import NotFound, UpstreamError
from headrace.types.model import Stage
from headrace.types.upstream import FIRST_VERSION

log = logging.getLogger("headrace.release")

DUE, HELD = "registry.stage", "registry.stage.held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    model: str
    version: int
    stage: Stage


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
            parts.registry.set_stage(move.model, move.version, move.stage)
            changed = parts.registry.versions(move.model)
        except UpstreamError as error:
            with parts.database.write() as conn:
                outbox.failed(conn, parcel.id, error.sentence())
            return number
        except NotFound as error:
            log.warning("a version that should be moved is gone", extra=fields(move=move, reason=error.sentence()))
            changed = ()
        with parts.database.write() as conn:
            outbox.done(conn, parcel.id)
            for version in changed:
                versions.put(conn, version)
    return len(parcels)


def _move(parcel: outbox.Parcel) -> Move:
    return msgspec.json.decode(parcel.body, type=Move)
