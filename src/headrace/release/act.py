"""What a decision does to traffic, in the transaction that records it: the plan, the audit, the registry's promise.

Called by turn.py (the evidence's decisions) and service.py (people's). State and plan never disagree, because both are
written here or neither is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from headrace.release import change, moves, words
from headrace.release.advance import resumed
from headrace.release.deploy import publish_changes
from headrace.release.parts import Cause, Parts, cursor_name
from headrace.release.record import holdings, seen
from headrace.store import audit, cursors, endpoints, releases
from headrace.store.db import Connection
from headrace.types.endpoint import Endpoint, Plan
from headrace.types.errors import Conflict, NotFound
from headrace.types.history import About
from headrace.types.model import Stage
from headrace.types.release import Event, Member, Phase, Release
from headrace.types.traffic import BUCKETS


def apply(
    conn: Connection, parts: Parts, release: Release, *, share: int | None, detail: str, actor: str
) -> Plan | None:
    """Store the release; when its share changes, publish the plan that makes it so. What is new in its history goes
    into everybody's."""
    known = releases.get(conn, release.id)
    fresh = release.history[len(known.history) if known is not None else 0 :]
    releases.put(conn, release)
    if release.phase.ended:
        releases.forget_counted(conn, release.id)
        cursors.remove(conn, cursor_name(release.id))
    if share is None:
        for event in fresh:
            note(conn, parts, release, action=f"release.{event.name}", detail=event.detail, cause=Cause(actor=actor))
        return None
    action = release.history[-1].name if release.history else "step"
    if release.phase is Phase.PROMOTED:
        for member in release.members:
            _promise_production(conn, parts, member, release_id=release.id, actor=actor)
    at = words.share(share) if release.phase.ended else words.step(release.current)
    reason = f"{release.endpoint}: {release.id} {action}: {release.candidate} at {at}"
    changes = {m.endpoint: _changer(release, m) for m in release.members}
    before = {m.endpoint: endpoints.get(conn, m.endpoint) for m in release.members}
    plan = publish_changes(conn, parts, changes, reason=reason)
    for member in release.members:
        about = About(
            endpoint=member.endpoint,
            release=release.id,
            before=holdings(before[member.endpoint]),
            after=holdings(plan.endpoint(member.endpoint)),
            evidence=seen(release),
            revision=plan.revision,
        )
        _append(conn, parts, action=f"release.{action}", detail=detail, actor=actor, about=about)
    return plan


def _changer(release: Release, member: Member) -> Callable[[Endpoint | None], Endpoint]:
    def changed(endpoint: Endpoint | None) -> Endpoint:
        if endpoint is None:
            raise Conflict(f"endpoint {member.endpoint!r} of release {release.id} is gone", field="endpoint")
        if release.phase is Phase.PROMOTED:
            return change.promoted(endpoint)
        if release.phase.ended:
            return change.rolled_back(endpoint)
        return change.with_step(endpoint, release.current)

    return changed


def _promise_production(conn: Connection, parts: Parts, member: Member, *, release_id: str, actor: str) -> None:
    model, _, version = member.candidate_uri.removeprefix("models:/").rpartition("/")
    move = moves.Move(
        model=model, version=int(version), stage=Stage.PRODUCTION, actor=actor, reason=f"{release_id} promoted"
    )
    moves.promise(conn, move, now=parts.clock.now())


def note(conn: Connection, parts: Parts, release: Release, *, action: str, detail: str, cause: Cause) -> None:
    """What moves no traffic."""
    about = About(
        release=release.id,
        reason=cause.reason,
        evidence=seen(release),
        approval=cause.approval,
        approvers=cause.approvers,
    )
    for member in release.members:
        here = replace(about, endpoint=member.endpoint)
        _append(conn, parts, action=action, detail=detail, actor=cause.actor, about=here)


def _append(conn: Connection, parts: Parts, *, action: str, detail: str, actor: str, about: About) -> None:
    subject, now = f"release:{about.release}", parts.clock.now()
    audit.append(conn, actor=actor, action=action, subject=subject, detail=detail, now=now, about=about)


# --- what a person decides


def pause(conn: Connection, parts: Parts, release_id: str, *, actor: str, reason: str) -> Release:
    release = _running(conn, release_id, Phase.PROGRESSING)
    why = reason or f"by {actor}"
    return _record(conn, parts, replace(release, phase=Phase.PAUSED, paused_reason=why), "paused", why, actor)


def resume(conn: Connection, parts: Parts, release_id: str, *, actor: str, reason: str) -> Release:
    """Go on; in a step that waits for approval, this is it."""
    release = _running(conn, release_id, Phase.PAUSED)
    going = resumed(release, parts.clock.now())
    return _record(conn, parts, going, "resumed", reason or f"by {actor}", actor)


def promote(conn: Connection, parts: Parts, release_id: str, *, actor: str, reason: str) -> Release:
    """All traffic now, whatever the evidence says."""
    release = _running(conn, release_id, Phase.PROGRESSING, Phase.PAUSED)
    ended = replace(release, phase=Phase.PROMOTED, ended=parts.clock.now())
    return _record(conn, parts, ended, "promoted", reason or f"by {actor}", actor, share=BUCKETS)


def abort(conn: Connection, parts: Parts, release_id: str, *, actor: str, reason: str) -> Release:
    release = _running(conn, release_id, Phase.PREPARING, Phase.PROGRESSING, Phase.PAUSED)
    ended = replace(release, phase=Phase.ABORTED, ended=parts.clock.now())
    return _record(conn, parts, ended, "aborted", reason or f"by {actor}", actor, share=0)


def fail(conn: Connection, parts: Parts, release: Release, *, reason: str, actor: str) -> Release:
    """It never had traffic."""
    ended = replace(release, phase=Phase.FAILED, ended=parts.clock.now())
    return _record(conn, parts, ended, "failed", reason, actor, share=0)


def _running(conn: Connection, release_id: str, *phases: Phase) -> Release:
    release = releases.get(conn, release_id)
    if release is None:
        raise NotFound(f"there is no release {release_id!r}", field="release", hint="headrace release list")
    if release.phase not in phases:
        allowed = " or ".join(p.value for p in phases)
        raise Conflict(f"release {release_id} is {release.phase.value}, not {allowed}", field="release")
    return release


def _record(
    conn: Connection, parts: Parts, release: Release, name: str, detail: str, actor: str, *, share: int | None = None
) -> Release:
    event = Event(time=parts.clock.now(), name=name, detail=detail, actor=actor, share=share or 0)
    release = replace(release, history=(*release.history, event))
    apply(conn, parts, release, share=share, detail=detail, actor=actor)
    return release
