"""A small control and data plane that answers as told, and what a run of the command line gave."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Planes:
    """`says["GET /path"]` is an answer, or a list of answers given one after the other (the last one for ever)."""

    def __init__(self) -> None:
        self.says: dict[str, Any] = {}
        self.asked: list[tuple[str, Any]] = []
        planes = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                planes.asked.append((f"{self.command} {self.path}", json.loads(body) if body else None))
                status, media, content = planes.answer(f"{self.command} {self.path.split('?')[0]}")
                self.send_response(status)
                self.send_header("content-type", media)
                self.send_header("x-headrace-dataset", "ds_1")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, key: str) -> tuple[int, str, bytes]:
        found = self.says.get(key, (404, {"error": {"type": "not_found", "message": f"nothing at {key}"}}))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        status, content = found if isinstance(found, tuple) else (200, found)
        if isinstance(content, Stream):
            return status, "application/x-ndjson", "".join(json.dumps(line) + "\n" for line in content.lines).encode()
        if isinstance(content, bytes):
            return status, "application/octet-stream", content
        return status, "application/json", json.dumps(content).encode()


class Stream:
    def __init__(self, *lines: Any) -> None:
        self.lines = lines
