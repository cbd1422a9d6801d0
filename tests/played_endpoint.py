"""An endpoint `sums` that speaks V2 in JSON and behaves as told: what batch and streaming are tested against.

It takes `input` FP64 [-1, 3] and gives `total` FP64 [-1] and `parts` FP64 [-1, 2]. A row that holds 13 is refused.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

METADATA = {
    "name": "sums",
    "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 3]}],
    "outputs": [
        {"name": "total", "datatype": "FP64", "shape": [-1]},
        {"name": "parts", "datatype": "FP64", "shape": [-1, 2]},
    ],
}
Said = tuple[int, dict[str, Any], dict[str, str]]


class Sums:
    def __init__(self) -> None:
        self.most_rows = 1000
        self.answers = 0
        self.rows: list[list[float]] = []  # that were answered, in the order of the answers
        self.next: list[Said] = []  # said instead, one after the other
        self.gate = threading.Event()  # cleared: calls wait
        self.gate.set()
        self.called = threading.Event()
        self._lock = threading.Lock()
        played = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                known = self.path.startswith("/v2/models/sums")
                self.say((200, METADATA, {}) if known else (404, {"error": f"there is no endpoint {self.path!r}"}, {}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                played.called.set()
                played.gate.wait(30)
                self.say(played.infer(body))

            def say(self, said: Said) -> None:
                status, content, headers = said
                data = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"content-length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def infer(self, body: dict[str, Any]) -> Said:
        with self._lock:
            if self.next:
                return self.next.pop(0)
            tensor = body["inputs"][0]
            data, count = tensor["data"], tensor["shape"][0]
            rows = [data[3 * i : 3 * i + 3] for i in range(count)]
            if count > self.most_rows:
                return 413, {"error": f"inputs has {count} rows"}, {}
            if any(13 in row for row in rows):
                return 400, {"error": "unlucky"}, {"x-headrace-trace": "tr-refused"}
            self.rows += rows
            self.answers += 1
            totals, parts = [sum(row) for row in rows], [value for row in rows for value in row[:2]]
            outputs = [
                {"name": "total", "datatype": "FP64", "shape": [count], "data": totals},
                {"name": "parts", "datatype": "FP64", "shape": [count, 2], "data": parts},
            ]
            return 200, {"model_version": "7", "outputs": outputs}, {"x-headrace-trace": f"tr-{self.answers}"}


@contextmanager
def sums() -> Iterator[Sums]:
    played = Sums()
    thread = threading.Thread(target=played.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield played
    finally:
        played.gate.set()
        played.server.shutdown()
        played.server.server_close()
        thread.join()
