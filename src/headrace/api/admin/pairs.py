"""What the shadow of a release would have answered otherwise: /api/v1/releases/{id}/pairs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.release.diff import look


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["releases"])

    @routes.get("/releases/{release_id}/pairs")
    def show_pairs(
        release_id: str, by: str = "", value: str = "", limit: Annotated[int, Query(ge=0, le=500)] = 50
    ) -> Response:
        """Figures of all pairs, and the worst ones first. `by`: an input column or a kept header, for rates by segment;
        `value`: one of these segments, for its pairs alone."""
        with services.database.read() as conn:
            return answer(look(conn, release_id, by=by, value=value, limit=limit))

    return routes
