"""How it is: /health for supervisors, /api/v1/status for people, /api/v1/live and /api/v1/audit."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from headrace import __version__
from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.monitor.live import SECONDS, Figures
from headrace.store import audit, endpoints, plans
from headrace.types.errors import NotFound


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["status"])

    @routes.get("/health")
    def health() -> Response:
        """503 when the database cannot be read: nothing can be decided then. MLflow being away is no reason."""
        with services.database.read() as conn:
            revision = plans.revision(conn)
        return answer({"status": "ready", "version": __version__, "revision": revision})

    @routes.get("/api/v1/status")
    def status() -> Response:
        """Data planes, MLflow, the loops and what failed in them."""
        return answer(services.status())

    @routes.get("/api/v1/live")
    def live(
        endpoint: str,
        seconds: Annotated[int, Query(ge=1, le=SECONDS)] = 300,
        totals_seconds: Annotated[int, Query(ge=1, le=SECONDS)] = 60,
    ) -> Response:
        """Second by second, by variant, and the sums of the last minute."""
        totals = services.live.totals(endpoint, totals_seconds)
        series = services.live.endpoint(endpoint, seconds=seconds)
        if not series:
            _check_known(services, endpoint)
        variants = {variant: _figures(found) for variant, found in totals.variants.items()}
        return answer(
            {"endpoint": endpoint, "totals": _figures(totals) | {"variants": variants}, "series": series},
        )

    @routes.get("/api/v1/audit")
    def list_audit(subject: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
        """Who did what to which thing; newest first. `subject`: such as endpoint:digits, release:rel_…"""
        with services.database.read() as conn:
            return answer({"entries": audit.entries(conn, limit=limit, subject=subject)})

    return routes


def _check_known(services: Services, endpoint: str) -> None:
    with services.database.read() as conn:
        names = [found.name for found in endpoints.all(conn)]
    if endpoint not in names:
        raise NotFound(
            f"there is no endpoint {endpoint!r}; there are: {', '.join(names) or 'none yet'}", field="endpoint"
        )


def _figures(found: Figures) -> dict[str, Any]:
    return {
        "seconds": found.seconds,
        "calls": found.calls,
        "errors": found.errors,
        "rate": round(found.rate, 3),
        "error_share": round(found.error_share, 6),
        "p50_ms": found.p50_ms,
        "p99_ms": found.p99_ms,
    }
