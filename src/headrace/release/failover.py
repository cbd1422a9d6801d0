"""A live version that data planes have ejected: the version before it stays, or the old one is back.

Called by the service's clock. Data planes decide by themselves and at once (serving/failover.py); this hears of it from
the journal, keeps it, and decides what is lasting: the plan, the audit and the registry's promise are one transaction.

    the plane took it back                              nothing, but it is remembered for a while
    something else is live by now                       forgotten: somebody has acted
    a release moves the endpoint                        wait for its end: traffic is safe meanwhile
    only a minority of the planes has ejected it        wait: their machine may be the trouble
    ejected again soon after it was back                lasting, at once
    ejected for longer than `lasting_seconds`           lasting
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum

from headrace.base.log import fields
from headrace.release import change, moves
from headrace.release.deploy import note_move, publish_change
from headrace.release.parts import Cause, Parts
from headrace.store import audit, cursors, ejections, endpoints, releases
from headrace.store.db import Connection
from headrace.store.journal.reader import Reader, start_position
from headrace.store.journal.records import EVENTS
from headrace.types.call import PlaneEvent
from headrace.types.endpoint import Endpoint
from headrace.types.errors import Conflict
from headrace.types.failover import Ejection
from headrace.types.journal import Position
from headrace.types.model import Stage

CONSUMER = "failover"
ACTOR = "system:failover"
EJECTED, RESTORED = "variant.ejected", "variant.restored"
REMEMBERED_SECONDS = 600.0  # after it was back, that an ejection counts as the second
SAVE_SECONDS = 10.0  # a cursor that only passed calls is kept this often: the archive waits for it
READ_LIMIT = 50_000  # lines of one look; nearly all of them are passed over unparsed

log = logging.getLogger("headrace.release")


class Fate(StrEnum):
    WAIT = "wait"
    FORGET = "forget"
    LASTING = "lasting"


def fate(
    endpoint: Endpoint | None, known: Sequence[Ejection], *, planes: int, releasing: bool, now: float
) -> tuple[Fate, str]:
    """What becomes of the ejections of one endpoint, and why. Pure. `planes`: how many there are."""
    if endpoint is None or not endpoint.failover.enabled:
        return Fate.FORGET, "nobody falls over there any more"
    mine = [e for e in known if e.variant == endpoint.policy.baseline and endpoint.policy.fallback]
    if not mine:
        return Fate.FORGET, f"{endpoint.policy.baseline} is live by now"
    out = [e for e in mine if not e.restored]
    if not out:
        old = all(now - e.restored > REMEMBERED_SECONDS for e in mine)
        return (Fate.FORGET if old else Fate.WAIT), "it is back"
    if releasing:
        return Fate.WAIT, "a release moves the endpoint"
    if 2 * len(out) <= planes:
        return Fate.WAIT, f"{len(out)} of {planes} data planes have ejected it"
    if max(e.times for e in out) > 1:
        return Fate.LASTING, "it broke again soon after it was back"
    waited = now - min(e.since for e in out)
    if waited >= endpoint.failover.lasting_seconds:
        return Fate.LASTING, f"it did not come back for {waited:.0f} s"
    return Fate.WAIT, f"ejected {waited:.0f} s ago"


def after(known: Ejection | None, event: PlaneEvent, fallback: str) -> Ejection | None:
    """What is known once this event was heard. Pure."""
    same = known is not None and known.variant == event.variant
    if event.name == RESTORED:
        return replace(known, restored=event.time) if known is not None and same else known
    if known is None or not same or (known.restored and event.time - known.restored > REMEMBERED_SECONDS):
        return Ejection(
            endpoint=event.endpoint,
            plane=event.plane,
            variant=event.variant,
            fallback=fallback,
            since=event.time,
            detail=event.detail,
        )
    if not known.restored:
        return known  # the plane was restarted meanwhile, and had to learn it anew
    return replace(known, since=event.time, detail=event.detail, times=known.times + 1, restored=0.0)


class Failovers:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._reader: Reader | None = None
        self._saved = Position()
        self._saved_at = 0.0
        self._known: bool = True  # there may be ejections to decide on

    def turn(self) -> None:
        """Hear, keep, decide: one transaction for all that was heard, one for each endpoint that falls over."""
        reader = self._reader or self._open()
        events = [r for r in reader.read(limit=READ_LIMIT) if isinstance(r, PlaneEvent)]
        told = [e for e in events if e.name in (EJECTED, RESTORED)]
        now = self._parts.clock.steady()
        if told or (reader.position != self._saved and now - self._saved_at >= SAVE_SECONDS):
            self._reader = None  # until the transaction has ended well: what it did not keep is read again
            self._hear(told, reader.position)
            self._reader, self._saved, self._saved_at = reader, reader.position, now
            self._known = self._known or bool(told)
        if self._known:
            self._decide()

    def _open(self) -> Reader:
        with self._parts.database.write() as conn:
            found = cursors.get(conn, CONSUMER)
            if found is None:
                found = start_position(self._parts.settings.journal)
                cursors.put(conn, CONSUMER, found)
        self._reader = Reader(self._parts.settings.journal, found, begins=EVENTS)
        return self._reader

    def _hear(self, events: Iterable[PlaneEvent], position: Position) -> None:
        with self._parts.database.write() as conn:
            for event in events:
                endpoint = endpoints.get(conn, event.endpoint)
                fallback = endpoint.policy.fallback if endpoint is not None else ""
                found = after(ejections.get(conn, event.endpoint, event.plane), event, fallback)
                if found is not None:
                    ejections.put(conn, found)
                detail = f"{event.variant} on {event.plane}: {event.detail}"
                action = "endpoint.ejected" if event.name == EJECTED else "endpoint.restored"
                _note(conn, self._parts, action, event.endpoint, detail)
            cursors.put(conn, CONSUMER, position)

    def _decide(self) -> None:
        with self._parts.database.read() as conn:
            known = ejections.all(conn)
        self._known = bool(known)
        for name in sorted({e.endpoint for e in known}):
            with self._parts.database.write() as conn:
                self._decide_one(conn, name)

    def _decide_one(self, conn: Connection, name: str) -> None:
        """Read again, in the transaction that acts on it."""
        endpoint = endpoints.get(conn, name)
        known = [e for e in ejections.all(conn) if e.endpoint == name]
        releasing = releases.active_for(conn, name) is not None
        now, planes = self._parts.clock.now(), len(self._parts.settings.planes)
        what, why = fate(endpoint, known, planes=planes, releasing=releasing, now=now)
        if what is Fate.WAIT:
            return
        ejections.forget(conn, name)
        if what is Fate.LASTING and endpoint is not None:
            cause = next(e.detail for e in known if not e.restored)
            self._make_lasting(conn, endpoint, f"{cause}; {why}")

    def _make_lasting(self, conn: Connection, endpoint: Endpoint, why: str) -> None:
        policy = endpoint.policy
        detail = f"{policy.baseline} → {policy.fallback}: {why}"

        def changed(current: Endpoint | None) -> Endpoint:
            if current is None:
                raise Conflict(f"endpoint {endpoint.name!r} is gone", field="endpoint")
            return change.failed_over(current)

        reason = f"{endpoint.name}: failover {detail}"
        plan = publish_change(conn, self._parts, endpoint.name, changed, reason=reason)
        cause = Cause(actor=ACTOR, action="endpoint.failover", reason=why)
        note_move(conn, self._parts, plan, endpoint=endpoint.name, before=endpoint, cause=cause, detail=detail)
        fallback = endpoint.variant(policy.fallback)
        if fallback is not None:
            model, version = fallback.model.name, fallback.model.version
            move = moves.Move(model=model, version=version, stage=Stage.PRODUCTION, actor=ACTOR, reason=reason)
            moves.promise(conn, move, now=self._parts.clock.now())
        log.error("failover is lasting", extra=fields(endpoint=endpoint.name, detail=detail))


def _note(conn: Connection, parts: Parts, action: str, endpoint: str, detail: str) -> None:
    subject = f"endpoint:{endpoint}"
    audit.append(conn, actor=ACTOR, action=action, subject=subject, detail=detail, now=parts.clock.now())
