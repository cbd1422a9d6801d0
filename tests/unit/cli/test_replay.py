"""The demo's users: every answer counts, each keeps one name, and what they say is about the call that they made."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from headrace.cli.demo.replay import Replay, Rows

ROWS = Rows(pixels=[[0.0], [1.0]], labels=[0, 1])


class DataPlane:
    """Answers 0 to everything: right for one row, wrong for the other. Every tenth call fails if `breaks`."""

    def __init__(self) -> None:
        self.calls: dict[str, tuple[str, list[float]]] = {}
        self.said: list[dict[str, Any]] = []
        self.breaks = False
        plane = self
        numbers = itertools.count()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                number = next(numbers)
                if self.path == "/feedback":
                    plane.said.append(body)
                    self.answer(200, {"trace_id": body["trace_id"], "feedback": ["fb"]})
                elif plane.breaks and number % 10 == 0:
                    self.answer(503, {"error": {"type": "overloaded", "message": "full"}})
                else:
                    trace = f"tr-{number}"
                    plane.calls[trace] = (self.headers["x-user-id"], body["inputs"][0])
                    self.answer(200, {"result": [0], "trace_id": trace, "model_version": "1", "latency_ms": 0.1})

            def answer(self, status: int, content: Any) -> None:
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True


@pytest.fixture
def plane() -> Iterator[DataPlane]:
    found = DataPlane()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


def replay(plane: DataPlane, requests: int) -> Replay:
    host, port = plane.server.server_address[:2]
    users = Replay(str(host), int(port), ROWS, users=20, rate=2000, threads=2)
    with users:
        assert users.wait(requests, seconds=30)
    return users


def test_what_is_said_is_about_the_call_that_was_made(plane: DataPlane) -> None:
    seen = replay(plane, 300).seen
    assert seen.failed == 0, seen.failures
    assert seen.requests == len(plane.calls) == seen.versions["1"]
    assert len({user for user, _ in plane.calls.values()}) == 20
    assert seen.feedback == len(plane.said) > 0, "all that was due is said before the end"
    for opinion in plane.said:
        user, row = plane.calls[opinion["trace_id"]]
        assert opinion["rater"] == user
        assert opinion["user_rating"] == (row == [0.0])
        assert opinion.get("corrected_output", 1) == 1, "the right digit, and only of what was misread"
    corrected = [o["trace_id"] for o in plane.said if "corrected_output" in o]
    assert seen.corrections == len(corrected)
    assert seen.trace == corrected[0]


def test_a_failed_request_is_counted_and_quoted(plane: DataPlane) -> None:
    plane.breaks = True
    seen = replay(plane, 100).seen
    assert seen.failed > 0
    assert "503" in seen.failures[0]
    assert "full" in seen.failures[0]


def test_nobody_there_is_a_failure_too(plane: DataPlane) -> None:
    users = Replay("127.0.0.1", 1, ROWS, users=2, rate=500, threads=1)
    with users:
        users.wait(3, seconds=10)
    assert users.seen.failed == users.seen.requests > 0
    assert "ConnectionRefused" in users.seen.failures[0]
