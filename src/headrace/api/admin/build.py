"""The admin API as one FastAPI app: routes, errors, documentation that needs no network, and the guard in front.

Called by app/control.py, which puts the console on it afterwards.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from headrace import __version__
from headrace.api.admin import (
    approvals,
    chat,
    datasets,
    endpoints,
    export,
    feedback,
    flywheel,
    gateway,
    history,
    jobs,
    mlflow,
    models,
    pairs,
    programs,
    releases,
    repository,
    reviews,
    status,
    traces,
    webhooks,
)
from headrace.api.admin.guard import Guard
from headrace.api.admin.reply import problem, unexpected
from headrace.api.errors import WrongMethod
from headrace.control.services import Services
from headrace.types.errors import BadInput, CallerError, HeadraceError, NotFound

_HTTP: dict[int, type[CallerError]] = {404: NotFound, 405: WrongMethod}


def build(services: Services, passage: mlflow.Passage, **options: Any) -> FastAPI:
    """`options` go to FastAPI (lifespan)."""
    app = FastAPI(
        title="Headrace control plane",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        **options,
    )
    parts = (status, endpoints, releases, pairs, repository, traces, models, export, jobs, history, approvals, webhooks)
    for part in (*parts, feedback, datasets, reviews, chat, flywheel, gateway, programs):
        app.include_router(part.router(services))
    app.include_router(mlflow.router(passage))
    _documents(app)
    app.exception_handler(HeadraceError)(_known)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_plain)
    app.exception_handler(Exception)(_unknown)
    app.add_middleware(Guard, settings=services.settings)
    return app


async def _known(_: Request, error: HeadraceError) -> Response:
    return problem(error)


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return problem(BadInput("the body is not JSON", field="body"))
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    given = "" if first["type"] == "missing" else f" is {first['input']!r}"
    return problem(BadInput(f"{where or 'body'}{given}: {first['msg']}", field=where or "body"))


async def _plain(request: Request, error: HTTPException) -> Response:
    kind = _HTTP.get(error.status_code, CallerError)
    response = problem(kind(f"{request.method} {request.url.path}: {error.detail}"))
    response.status_code = error.status_code
    return response


async def _unknown(_: Request, error: Exception) -> Response:
    return problem(unexpected(error))


def _documents(app: FastAPI) -> None:
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        return
    app.mount("/api/static", StaticFiles(directory=Path(spec.origin).parent / "static"), name="api-static")

    @app.get("/api/docs", include_in_schema=False)
    def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url="/api/openapi.json",
            title="Headrace control plane",
            swagger_js_url="/api/static/swagger-ui-bundle.js",
            swagger_css_url="/api/static/swagger-ui.css",
            swagger_favicon_url="/api/static/favicon.png",
        )
