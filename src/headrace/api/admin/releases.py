"""Releases, and what people decide about them: /api/v1/releases."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.store import releases
from headrace.store.releases import StoredInterval
from headrace.types.errors import NotFound

Json = dict[str, Any]


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["releases"])

    @routes.get("/releases")
    def list_releases(endpoint: str | None = None, limit: int = 50) -> Response:
        with services.database.read() as conn:
            return answer({"releases": releases.recent(conn, limit=min(max(limit, 1), 500), endpoint=endpoint)})

    @routes.get("/releases/{release_id}")
    def show_release(release_id: str) -> Response:
        with services.database.read() as conn:
            found = releases.get(conn, release_id)
        if found is None:
            raise NotFound(f"there is no release {release_id!r}", field="release", hint="headrace release list")
        return answer(found)

    @routes.get("/releases/{release_id}/intervals")
    def show_intervals(release_id: str) -> Response:
        """What each decision was made on, and what came out."""
        show_release(release_id)
        with services.database.read() as conn:
            found: tuple[StoredInterval, ...] = releases.intervals(conn, release_id)
        return answer({"intervals": found})

    @routes.post("/releases/{release_id}/{action}")
    def act(
        release_id: str,
        action: Literal["pause", "resume", "promote", "abort"],
        request: Request,
        body: Json = Body(default_factory=dict),  # noqa: B008
    ) -> Response:
        deed = getattr(services.releases, action)
        return answer(deed(release_id, actor=actor_of(request), reason=str(body.get("reason") or "")))

    return routes
