"""GET /export: the flywheel's data set, made whole before its first byte is sent. The data plane passes it on to us."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from typing import IO

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from headrace.control.services import Services
from headrace.flywheel.export import Export
from headrace.flywheel.selection import Selection, read_selection

CHUNK = 256 * 1024


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["data"])

    @routes.get("/export")
    def export(request: Request) -> Response:
        """`model`, `endpoint`, `rating` (up, down, corrected, any), `from`, `to`, `format` (csv, jsonl, parquet)."""
        selection = read_selection(request.query_params)
        work = services.settings.home / "work"
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="export-", dir=work) as folder:
            made = services.exporter.export(selection, work / folder)
            file = made.path.open("rb")  # outlives its name, so that nothing is left whoever breaks off
        return StreamingResponse(_content(file), media_type=made.media, headers=_headers(selection, made))

    return routes


def _headers(selection: Selection, made: Export) -> dict[str, str]:
    data = made.dataset
    name = re.sub(r"[^A-Za-z0-9._-]", "_", selection.model)
    return {
        "content-disposition": f'attachment; filename="{name}.{selection.format}"',
        "content-length": str(data.files[0].size),
        "x-headrace-dataset": data.id,
        "x-headrace-rows": str(data.rows),
        "x-headrace-row-hash": data.row_hash,
        "x-headrace-corrected": str(data.corrected),
        "x-headrace-misfits": str(made.misfits),
        "x-headrace-sha256": data.files[0].sha256,
    }


def _content(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
