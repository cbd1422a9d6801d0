"""The review queue: /api/v1/review. Draw calls, see what waits, label, skip, undo, how far reviewers agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.flywheel.selection import moment


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawBody:
    endpoint: str
    count: int = 50
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelBody:
    """`value`: what the answer should have been; the answer itself where it is right."""

    value: Any


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/review", tags=["data"])
    queue = services.reviews

    @routes.post("")
    def draw(body: DrawBody) -> Response:
        """Each answered call of one row has the same chance, which is kept with it."""
        since, until = moment("since", body.since), moment("until", body.until)
        return answer(queue.draw(body.endpoint, body.count, since=since, until=until), status=201)

    @routes.get("")
    def waiting(
        request: Request, endpoint: str | None = None, limit: Annotated[int, Query(ge=1, le=500)] = 20
    ) -> Response:
        """What waits and the caller has not labelled, disputes first."""
        return answer({"cases": queue.cases(actor_of(request), endpoint=endpoint, limit=limit)})

    @routes.get("/standing")
    def standing(endpoint: str | None = None) -> Response:
        """How many wait, the share of right answers with its interval, and how far reviewers agree."""
        found = queue.standing(endpoint)
        pairs = [{"raters": pair, "agreement": agreement} for pair, agreement in found.pairs.items()]
        counts = {"waiting": found.waiting, "done": found.done, "skipped": found.skipped}
        return answer(counts | {"right": found.right, "pairs": pairs})

    @routes.post("/{trace_id}/label")
    def label(trace_id: str, request: Request, body: LabelBody) -> Response:
        return answer(queue.label(trace_id, body.value, actor_of(request)))

    @routes.post("/{trace_id}/skip")
    def skip(trace_id: str) -> Response:
        return answer(queue.skip(trace_id))

    @routes.post("/{trace_id}/undo")
    def undo(trace_id: str, request: Request) -> Response:
        return answer(queue.undo(trace_id, actor_of(request)))

    return routes
