"""What happened: /api/v1/traces, /api/v1/audit, /api/v1/live, /api/v1/status, and /health."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.store import audit, feedbacks
from headrace.types.call import CallStatus
from headrace.types.errors import BadInput, NotFound

MOST = 1000


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["what happened"])

    @routes.get("/health")
    def health() -> Response:
        return answer({"status": "ready"})

    @routes.get("/api/v1/status")
    def status() -> Response:
        return answer(services.status())

    @routes.get("/api/v1/traces")
    def list_traces(
        endpoint: str | None = None,
        variant: str | None = None,
        status: str | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
    ) -> Response:
        """Newest first; `since` and `until` in seconds since the epoch."""
        calls = services.query.calls(
            endpoint=endpoint,
            variant=variant,
            status=_status(status),
            since=since,
            until=until,
            limit=min(max(limit, 1), MOST),
        )
        return answer({"traces": calls})

    @routes.get("/api/v1/traces/{trace_id}")
    def show_trace(trace_id: str) -> Response:
        """The call, what was said of it, and where MLflow shows it (null when it is not in MLflow's sample)."""
        call = services.query.call(trace_id)
        if call is None:
            raise NotFound(f"there is no trace {trace_id!r} in the journal", field="trace_id")
        with services.database.read() as conn:
            said = feedbacks.for_traces(conn, [trace_id]).get(trace_id, ())
        return answer({"call": call, "feedback": said, "mlflow": services.mlflow_link(trace_id)})

    @routes.get("/api/v1/audit")
    def list_audit(subject: str | None = None, limit: int = 100) -> Response:
        with services.database.read() as conn:
            return answer({"entries": audit.entries(conn, limit=min(max(limit, 1), MOST), subject=subject)})

    @routes.get("/api/v1/live")
    def live(endpoint: str, seconds: int = 300) -> Response:
        """Second by second, by variant, and the sums of the last minute."""
        return answer(
            {
                "endpoint": endpoint,
                "totals": services.live.totals(endpoint),
                "series": services.live.endpoint(endpoint, seconds=min(max(seconds, 1), 3600)),
            }
        )

    return routes


def _status(text: str | None) -> CallStatus | None:
    if text is None:
        return None
    try:
        return CallStatus(text)
    except ValueError as error:
        allowed = ", ".join(CallStatus)
        raise BadInput(f"status is {text!r}; allowed: {allowed}", field="status") from error
