"""A language model for tests: OpenAI's chat completions over HTTP, answered by a function, streamed when asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[dict[str, Any]], Any]


class FakeLM:
    """`reply` gets the request's body and returns the text of the answer; an int is a status that fails."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def question(self, body: dict[str, Any]) -> str:
        return str(body["messages"][-1]["content"])


@contextmanager
def fake_lm(reply: Reply) -> Iterator[FakeLM]:
    lm = FakeLM(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            lm.asked.append(body)
            lm.headers.append({name.lower(): value for name, value in self.headers.items()})
            found = lm.reply(body)
            if isinstance(found, int):
                return self._send(found, "application/json", b'{"error": {"message": "as it was told"}}')
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            if body.get("stream"):
                chunks = [{"choices": [{"index": 0, "delta": {"content": c}}]} for c in _pieces(found)]
                chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
                chunks.append({"choices": [], "usage": usage})
                text = "".join(f"data: {json.dumps({'id': 'x', 'model': 'm', **c})}\n\n" for c in chunks)
                return self._send(200, "text/event-stream", (text + "data: [DONE]\n\n").encode())
            choice = {"index": 0, "message": {"role": "assistant", "content": found}, "finish_reason": "stop"}
            answer = {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
            return self._send(200, "application/json", json.dumps(answer).encode())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    lm.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield lm
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), 4):
        yield text[start : start + 4]
