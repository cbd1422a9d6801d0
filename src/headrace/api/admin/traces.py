"""What was asked and answered: /api/v1/traces."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.store import feedbacks
from headrace.store.journal.query import page_key
from headrace.types.call import CallStatus
from headrace.types.errors import BadInput, NotFound


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["traces"])

    @routes.get("/traces")
    def list_traces(  # noqa: PLR0913 - one argument per filter
        endpoint: str | None = None,
        variant: str | None = None,
        status: str | None = None,
        unit: str | None = None,
        since: float | None = None,
        until: float | None = None,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """Newest first. `since`, `until`: seconds since the epoch. `after`: what the page before named as `next`."""
        calls = services.query.calls(
            endpoint=endpoint,
            variant=variant,
            status=_status(status),
            unit=unit,
            since=since,
            until=until,
            after=_key(after),
            limit=limit,
        )
        return answer({"traces": calls, "next": _written(page_key(calls[-1])) if len(calls) == limit else None})

    @routes.get("/traces/{trace_id}")
    def show_trace(trace_id: str) -> Response:
        """The call, what was said of it, where MLflow shows it (null when it is not in MLflow's sample), and what was
        asked of this platform's gateway on its behalf."""
        call = services.query.call(trace_id)
        if call is None:
            raise NotFound(f"there is no trace {trace_id!r} in the journal", field="trace_id")
        with services.database.read() as conn:
            said = feedbacks.for_traces(conn, [trace_id]).get(trace_id, ())
        asked = services.query.asked_for(call)
        return answer({"call": call, "feedback": said, "mlflow": services.mlflow_link(trace_id), "asked": asked})

    return routes


def _status(text: str | None) -> CallStatus | None:
    if text is None:
        return None
    try:
        return CallStatus(text)
    except ValueError as error:
        allowed = ", ".join(CallStatus)
        raise BadInput(f"status is {text!r}; allowed: {allowed}", field="status") from error


def _written(key: tuple[float, str]) -> str:
    return f"{key[0]!r},{key[1]}"


def _key(text: str | None) -> tuple[float, str] | None:
    if text is None:
        return None
    time, comma, trace_id = text.partition(",")
    try:
        if comma:
            return float(time), trace_id
    except ValueError:
        pass
    raise BadInput(f"after is {text!r}; allowed: what a page named as its next", field="after")
