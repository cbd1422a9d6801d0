"""GET /export: the flywheel's data set, made whole before its first byte is sent."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask

from headrace.control.services import Services
from headrace.flywheel.selection import read_selection


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["data"])

    @routes.get("/export")
    def export(request: Request) -> Response:
        """`model`, `endpoint`, `rating` (up, down, corrected, any), `from`, `to`, `format` (csv, jsonl, parquet)."""
        selection = read_selection(request.query_params)
        work = services.settings.home / "work"
        work.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="export-", dir=work))
        try:
            made = services.exporter.export(selection, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return FileResponse(
            made.path,
            media_type=made.media,
            filename=made.path.name,
            headers={
                "x-headrace-dataset": made.dataset.id,
                "x-headrace-rows": str(made.dataset.rows),
                "x-headrace-corrected": str(made.dataset.corrected),
            },
            background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
        )

    return routes
