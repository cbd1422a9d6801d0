"""What people said, newest first, and its history: /api/v1/feedback."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.store import feedbacks
from headrace.types.call import FeedbackName
from headrace.types.errors import BadInput


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/feedback", tags=["data"])

    @routes.get("")
    def list_feedback(
        name: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        """As it stands now; what was taken back is marked."""
        if name is not None and name not in tuple(FeedbackName):
            raise BadInput(f"name is {name!r}; allowed: {', '.join(FeedbackName)}", field="name")
        with services.database.read() as conn:
            return answer({"feedback": feedbacks.recent(conn, limit=limit, offset=offset, name=name)})

    @routes.get("/{trace_id}")
    def show_history(trace_id: str) -> Response:
        """All that was ever said of it, in order of time."""
        with services.database.read() as conn:
            return answer({"feedback": feedbacks.history(conn, trace_id)})

    return routes
