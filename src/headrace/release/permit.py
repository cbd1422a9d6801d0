"""Before a deed: is it allowed, has it been approved, or must somebody be asked?

Called by the service before everything that may need a second person, and for what they say. A yes is for exactly one
deed and is used up by it, in the transaction that admits it. Who asks twice gets the same request.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headrace.base.ids import new_id
from headrace.release import approvals as rules
from headrace.release.parts import Cause, Parts
from headrace.store import approvals, audit, endpoints
from headrace.store.db import Connection
from headrace.types.approval import Approval, ApprovalState, Deed
from headrace.types.errors import ApprovalNeeded, NotFound
from headrace.types.history import About

SETTLING_SECONDS = 120.0  # that the registry may take to show what was approved


def permit(parts: Parts, deed: Deed, sentence: str, cause: Cause) -> Cause:
    """The cause, with who approved it. Raises ApprovalNeeded, after the request for it is on record."""
    with parts.database.read() as conn:
        if rules.policy_for(deed, endpoints.all(conn)) is None:
            return cause
    asked: Approval | None = None
    with parts.database.write() as conn:
        policy = rules.policy_for(deed, endpoints.all(conn))
        if policy is None:
            return cause
        now = parts.clock.now()
        waiting = [
            request
            for request in approvals.of_deed(conn, deed, (ApprovalState.APPROVED, ApprovalState.PENDING))
            if rules.current(request, now) is request
        ]
        granted = next((r for r in waiting if r.state is ApprovalState.APPROVED and r.actor == cause.actor), None)
        if granted is not None:
            approvals.put(conn, rules.used(granted, now=now))
            return replace(cause, approval=granted.id, approvers=granted.approvers)
        asked = next((r for r in waiting if r.state is ApprovalState.PENDING and r.actor == cause.actor), None)
        if asked is None:
            asked = Approval(
                id=new_id("apr"),
                deed=deed,
                sentence=sentence,
                actor=cause.actor,
                reason=cause.reason,
                created=now,
                expires=now + policy.expires_seconds,
                people=policy.people,
            )
            approvals.put(conn, asked)
            note(conn, parts, asked, action="approval.requested", actor=cause.actor, reason=cause.reason)
    raise needed(asked)


def needed(request: Approval) -> ApprovalNeeded:
    more = request.people - len(request.votes)
    who = "another person" if more == 1 else f"{more} other people"
    return ApprovalNeeded(
        f"{request.sentence}: {who} must approve it first (request {request.id})",
        field="approval",
        hint=f"headrace approve {request.id}",
    )


def approve(parts: Parts, approval_id: str, *, actor: str, reason: str) -> Approval:
    with parts.database.write() as conn:
        request = find(conn, approval_id)
        voted = rules.approved(request, actor=actor, reason=reason, now=parts.clock.now())
        approvals.put(conn, voted)
        note(conn, parts, voted, action="approval.approved", actor=actor, reason=reason)
    return voted


def refuse(parts: Parts, approval_id: str, *, actor: str, reason: str) -> Approval:
    with parts.database.write() as conn:
        ended = rules.refused(find(conn, approval_id), now=parts.clock.now())
        approvals.put(conn, ended)
        note(conn, parts, ended, action="approval.refused", actor=actor, reason=reason)
    return ended


def failed(parts: Parts, approval_id: str, why: str) -> None:
    """It was approved, tried, and could not be done."""
    with parts.database.write() as conn:
        tried = replace(find(conn, approval_id), state=ApprovalState.DONE, ended=parts.clock.now(), failure=why)
        approvals.put(conn, tried)
        note(conn, parts, tried, action="approval.failed", actor=tried.actor, reason=why)


def is_settling(conn: Connection, deed: Deed, now: float) -> bool:
    """Whether this was approved, and either may be done yet or was done a moment ago."""
    for request in approvals.of_deed(conn, deed, (ApprovalState.APPROVED, ApprovalState.DONE)):
        if rules.current(request, now).state is ApprovalState.APPROVED or now - request.ended < SETTLING_SECONDS:
            return True
    return False


def find(conn: Connection, approval_id: str) -> Approval:
    found = approvals.get(conn, approval_id)
    if found is None:
        raise NotFound(f"there is no request {approval_id!r}", field="approval", hint="headrace approvals")
    return found


def note(conn: Connection, parts: Parts, request: Approval, *, action: str, actor: str, reason: str) -> None:
    about = About(
        endpoint=request.deed.endpoint,
        model=request.deed.model,
        release=_text(request.deed.arguments, "release"),
        reason=reason,
        approval=request.id,
        approvers=request.approvers,
    )
    subject, now = f"approval:{request.id}", parts.clock.now()
    audit.append(conn, actor=actor, action=action, subject=subject, detail=request.sentence, now=now, about=about)


def _text(arguments: dict[str, Any] | None, name: str) -> str:
    return str((arguments or {}).get(name, ""))
