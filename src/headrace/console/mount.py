"""Puts the console onto the control plane's FastAPI app. Called once, by app, after every other route is on it.

Decides which addresses are pages. What it mounts takes every path that no route before it took, so admin API and
MLflow proxy come first.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import fastapi
from fastapi.responses import JSONResponse, Response
from nicegui import Client, ui
from nicegui import app as nicegui_app

from headrace.console import shell, theme

if TYPE_CHECKING:
    from headrace.control.services import Services

MACHINES = ("/api", "/mlflow", "/_nicegui", "/models/", "/export", "/health")  # paths that programs ask for


def mount(app: fastapi.FastAPI, services: Services) -> None:
    """One console a process: NiceGUI keeps its state per process."""
    for path in shell.PAGES:
        ui.page(path, title="Headrace", favicon=theme.ICON, language=None)(partial(shell.build, services))
    ui.add_head_html(theme.head(), shared=True)
    ui.add_body_html(theme.early(), shared=True)

    async def not_found(request: fastapi.Request, _: Exception) -> Response:
        return await missing(request, services)

    nicegui_app.exception_handler(404)(not_found)
    ui.run_with(
        app,
        title="Headrace",
        favicon=theme.ICON,
        dark=None,
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=10.0,
        binding_refresh_interval=None,
    )


async def missing(request: fastapi.Request, services: Services) -> Response:
    """A page that says so for people, a short answer for programs."""
    if request.url.path.startswith(MACHINES):
        return JSONResponse({"title": "Not found", "status": 404, "detail": request.url.path}, status_code=404)
    with Client(ui.page("", title="Headrace", favicon=theme.ICON), request=request) as client:
        await shell.build(services)
    return client.build_response(request, 404)
