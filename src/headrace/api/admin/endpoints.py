"""Endpoints, deploys, and the start of releases: /api/v1/endpoints."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response

from headrace.api.admin.reply import answer, long_work
from headrace.control.services import Services
from headrace.release.plans import plan_from
from headrace.store import endpoints
from headrace.types.errors import BadInput, NotFound

Json = dict[str, Any]


def actor_of(request: Request) -> str:
    return request.headers.get("x-headrace-actor", "").strip()[:100] or "operator"


def wanted(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise BadInput(f"{name} is {value!r}; allowed: a text such as models:/digits/2", field=name)
    return value


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["endpoints"])

    @routes.get("/endpoints")
    def list_endpoints() -> Response:
        with services.database.read() as conn:
            return answer({"endpoints": endpoints.all(conn)})

    @routes.get("/endpoints/{name}")
    def show_endpoint(name: str) -> Response:
        with services.database.read() as conn:
            found = endpoints.get(conn, name)
            there = ", ".join(e.name for e in endpoints.all(conn)) or "none yet"
        if found is None:
            raise NotFound(f"there is no endpoint {name!r}; there are: {there}", field="name")
        return answer(found)

    @routes.post("/endpoints/{name}/deploy")
    async def deploy(name: str, request: Request, body: Json = Body()) -> Response:  # noqa: B008
        """`{"model": "models:/digits/1"}`: live at once, with all traffic. NDJSON shows progress."""
        uri, actor = wanted(body, "model"), actor_of(request)
        return await long_work(request, lambda tell: services.releases.deploy(name, uri, actor=actor, progress=tell))

    @routes.post("/endpoints/{name}/releases")
    async def start(name: str, request: Request, body: Json = Body()) -> Response:  # noqa: B008
        """`{"candidate": "models:/digits/2", "plan": {…}}`: a canary that advances on evidence."""
        uri, actor, plan = wanted(body, "candidate"), actor_of(request), plan_from(body.get("plan"))
        return await long_work(
            request, lambda tell: services.releases.start(name, uri, plan=plan, actor=actor, progress=tell)
        )

    return routes
