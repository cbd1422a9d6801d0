"""GET /export: the flywheel's data set, whole with its hash, or as it is read. The data plane passes it on to us."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Generator, Iterator
from threading import BoundedSemaphore
from typing import IO, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from headrace.control.services import Services
from headrace.flywheel.export import MEDIA, Export
from headrace.flywheel.selection import Selection, read_selection
from headrace.types.errors import Overloaded

CHUNK = 256 * 1024
WHOLE = 10_000  # calls: written in half a second
AT_ONCE = 2  # each reads the whole journal and writes a file


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["data"])
    places = BoundedSemaphore(AT_ONCE)

    @routes.get("/export")
    def export(request: Request) -> Response:
        """`model`, `endpoint`, `rating` (up, down, corrected, any), `from`, `to`, `format` (csv, jsonl, parquet).

        Up to 10,000 calls come as a file whose hash stands in the headers. More come as they are read; csv and jsonl
        can be taken up: `after` is time,trace_id of the last row that arrived. `limit` is of calls.
        """
        selection = read_selection(request.query_params)
        if selection.paged or _many(services, selection):
            blocks = services.streamer.stream(selection)
            return Streamed(blocks, media_type=MEDIA[selection.format], headers=_disposition(selection))
        if not places.acquire(blocking=False):
            raise Overloaded(f"{AT_ONCE} exports are being made already", retry_after=5.0)
        try:
            made, file = _make(services, selection)
        finally:
            places.release()
        return StreamingResponse(_content(file), media_type=made.media, headers=_headers(selection, made))

    return routes


class Streamed(StreamingResponse):
    """Ends what makes the blocks when the caller is gone: else it would end whenever garbage is collected."""

    def __init__(self, blocks: Generator[bytes], **told: Any) -> None:
        super().__init__(blocks, **told)
        self._blocks = blocks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._blocks.close()


def _many(services: Services, selection: Selection) -> bool:
    """Too many for a file first. A rating is of few calls, but nobody knows which without reading."""
    count = services.query.count(since=selection.since, until=selection.until, endpoint=selection.endpoint)
    return count > WHOLE


def _make(services: Services, selection: Selection) -> tuple[Export, IO[bytes]]:
    """The file outlives its name, so that nothing is left on the disk whoever breaks off."""
    work = services.settings.home / "work"
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="export-", dir=work) as folder:
        made = services.exporter.export(selection, work / folder)
        return made, made.path.open("rb")


def _headers(selection: Selection, made: Export) -> dict[str, str]:
    data = made.dataset
    return _disposition(selection) | {
        "content-length": str(data.files[0].size),
        "x-headrace-dataset": data.id,
        "x-headrace-rows": str(data.rows),
        "x-headrace-row-hash": data.row_hash,
        "x-headrace-corrected": str(data.corrected),
        "x-headrace-misfits": str(made.misfits),
        "x-headrace-sha256": data.files[0].sha256,
    }


def _disposition(selection: Selection) -> dict[str, str]:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", selection.model)
    return {"content-disposition": f'attachment; filename="{name}.{selection.format}"'}


def _content(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
