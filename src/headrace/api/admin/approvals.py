"""What waits for a second person, and what they say: /api/v1/approvals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import Response

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.reply import answer, long_work
from headrace.control.services import Services
from headrace.release.approvals import current
from headrace.store import approvals
from headrace.types.approval import ApprovalState
from headrace.types.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    reason: str = ""  # for the history


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/approvals", tags=["approvals"])

    @routes.get("")
    def list_approvals(state: ApprovalState | None = None, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Response:
        """Newest first. Expired ones count as expired, also when nobody has touched them since."""
        now = services.clock.now()
        with services.database.read() as conn:
            found = [current(one, now) for one in approvals.recent(conn, limit=limit)]
        return answer({"approvals": [one for one in found if state is None or one.state is state]})

    @routes.get("/{approval}")
    def show_approval(approval: str) -> Response:
        with services.database.read() as conn:
            found = approvals.get(conn, approval)
        if found is None:
            raise NotFound(f"there is no request {approval!r}", field="approval", hint="headrace approvals")
        return answer(current(found, services.clock.now()))

    @routes.post("/{approval}/approve")
    async def approve(approval: str, request: Request, body: Annotated[Why, Body(default_factory=Why)]) -> Response:
        """With the last yes that it needs it is done, as the one who asked. `accept: application/x-ndjson` shows
        progress."""
        actor = actor_of(request)
        return await long_work(
            request,
            lambda tell: services.releases.approve(approval, actor=actor, reason=body.reason, progress=tell),
        )

    @routes.post("/{approval}/refuse")
    def refuse(approval: str, request: Request, body: Annotated[Why, Body(default_factory=Why)]) -> Response:
        """One no ends it. The one who asked may take it back so."""
        return answer(services.releases.refuse(approval, actor=actor_of(request), reason=body.reason))

    return routes
