"""Files to score: /api/v1/jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.reply import answer
from headrace.batch.jobs import Order
from headrace.control.services import Services
from headrace.store import jobs


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["jobs"])

    @routes.post("/jobs")
    def submit(request: Request, body: Order) -> Response:
        """A file in the folder for files, through an endpoint. Answers at once; GET tells how far it is."""
        return answer(services.jobs.submit(body, actor=actor_of(request)), status=202)

    @routes.get("/jobs")
    def list_jobs(limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Response:
        """Newest first."""
        with services.database.read() as conn:
            return answer({"jobs": jobs.recent(conn, limit=limit)})

    @routes.get("/jobs/{job_id}")
    def show_job(job_id: str) -> Response:
        with services.database.read() as conn:
            return answer(jobs.get(conn, job_id))

    @routes.post("/jobs/{job_id}/cancel")
    def cancel(job_id: str, request: Request) -> Response:
        """What is done is kept: the same order goes on from there."""
        return answer(services.jobs.cancel(job_id, actor=actor_of(request)))

    return routes
