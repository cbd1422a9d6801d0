"""Whether a deed needs a second person, and what their yes or no makes of a request. Pure.

Called by permit.py. Decides who counts as a second person: somebody with another name than the one who asks, who has a
name. Names are what callers say of themselves (api/admin/guard.py): the platform has one role until it has accounts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from headrace.types.approval import Action, Approval, Approvals, ApprovalState, Deed, Registry, Vote
from headrace.types.endpoint import Endpoint
from headrace.types.errors import BadInput, Conflict, Forbidden
from headrace.types.model import Stage

NOBODY = "operator"  # a caller who gave no name
TO_PRODUCTION = (Action.DEPLOY, Action.RELEASE, Action.PROMOTE)  # their end is the stage Production


def policy_for(deed: Deed, endpoints: Iterable[Endpoint]) -> Approvals | None:
    """The strictest of all that the deed touches; None when it needs nobody else."""
    policies = [e.approvals for e in endpoints if _touches(deed, e) and _needs(deed, e)]
    if not policies:
        return None
    return Approvals(
        people=max(policy.people for policy in policies),
        expires_seconds=min(policy.expires_seconds for policy in policies),
    )


def current(request: Approval, now: float) -> Approval:
    """As it is now: a request or a yes that nobody used in time is void."""
    open_states = (ApprovalState.PENDING, ApprovalState.APPROVED)
    if request.state in open_states and now >= request.expires:
        return replace(request, state=ApprovalState.EXPIRED, ended=request.expires)
    return request


def approved(request: Approval, *, actor: str, reason: str, now: float) -> Approval:
    """Raises Forbidden for the one who asks, Conflict for one who has said yes already or a request that has ended."""
    _check_open(request, now)
    _check_named(actor)
    if _same(actor, request.actor):
        raise Forbidden(f"{actor!r} asked for it, so another person has to approve it", field="actor")
    if any(_same(actor, vote.actor) for vote in request.votes):
        raise Conflict(f"{actor!r} has approved it already; it needs {request.people} people", field="actor")
    votes = (*request.votes, Vote(actor=actor, time=now, reason=reason))
    state = ApprovalState.APPROVED if len(votes) >= request.people else ApprovalState.PENDING
    return replace(request, votes=votes, state=state)


def refused(request: Approval, *, now: float) -> Approval:
    """By anybody: also the one who asked may take it back. Raises Conflict when it has ended."""
    _check_open(request, now)
    return replace(request, state=ApprovalState.REFUSED, ended=now)


def used(request: Approval, *, now: float) -> Approval:
    return replace(request, state=ApprovalState.DONE, ended=now)


def _names(deed: Deed) -> set[str]:
    """Endpoints: a release may move several."""
    return {deed.endpoint, *(deed.arguments or {}).get("candidates", ())} - {""}


def _touches(deed: Deed, endpoint: Endpoint) -> bool:
    candidates: dict[str, str] = (deed.arguments or {}).get("candidates", {})
    models = {deed.model, *(uri.removeprefix("models:/").rpartition("/")[0] for uri in candidates.values())}
    return endpoint.name in _names(deed) or endpoint.model in models


def _needs(deed: Deed, endpoint: Endpoint) -> bool:
    policy, arguments = endpoint.approvals, deed.arguments or {}
    match deed.kind:
        case Registry.ALIAS:
            return arguments["alias"] in policy.aliases
        case Registry.STAGE:
            return any(stage in policy.stages for stage in (arguments["stage"], *arguments["leaves"]))
        case Action.CONFIGURE if "approvals" in arguments.get("changes", {}) and endpoint.name == deed.endpoint:
            return policy.any
    here = endpoint.name in _names(deed) and deed.kind in policy.actions
    return here or (deed.kind in TO_PRODUCTION and Stage.PRODUCTION in policy.stages)


def _check_open(request: Approval, now: float) -> None:
    state = current(request, now).state
    if state is not ApprovalState.PENDING:
        raise Conflict(f"request {request.id} is {state.value}, not pending", field="approval")


def _check_named(actor: str) -> None:
    if _same(actor, NOBODY):
        raise BadInput(
            "an approval needs the name of a person",
            field="actor",
            hint="header x-headrace-actor, or the user of HTTP basic authentication",
        )


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
