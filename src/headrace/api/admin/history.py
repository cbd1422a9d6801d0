"""What was done, by whom, why and on what evidence: /api/v1/history."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.store import audit
from headrace.types.errors import NotFound
from headrace.types.history import Wanted

Seconds = Annotated[float, Query(ge=0, description="since the epoch")]


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["history"])

    @routes.get("/history")
    def list_history(  # noqa: PLR0913 - each filter of a query is an argument
        endpoint: str = "",
        model: str = "",
        release: str = "",
        actor: str = "",
        action: Annotated[str, Query(description="such as release.promoted, or release.* for all of a kind")] = "",
        subject: str = "",
        since: Seconds = 0.0,
        until: Seconds = 0.0,
        before: Annotated[int, Query(ge=0, description="entries older than this one")] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """Newest first. `next`: what to give as `before` for the page after this one; null at the end."""
        wanted = Wanted(
            endpoint=endpoint,
            model=model,
            release=release,
            actor=actor,
            action=action,
            subject=subject,
            since=since,
            until=until,
            before=before,
        )
        with services.database.read() as conn:
            found = audit.search(conn, wanted, limit=limit + 1)
        shown = found[:limit]
        return answer({"entries": shown, "next": shown[-1].id if len(found) > limit else None})

    @routes.get("/history/check")
    def check_history() -> Response:
        """Reads the whole history and says whether each entry is as it was written."""
        with services.database.read() as conn:
            return answer(audit.check(conn))

    @routes.get("/history/{entry_id}")
    def show_entry(entry_id: int) -> Response:
        with services.database.read() as conn:
            found = audit.get(conn, entry_id)
        if found is None:
            raise NotFound(f"there is no entry {entry_id} in the history", field="entry", hint="headrace history")
        return answer(found)

    return routes
