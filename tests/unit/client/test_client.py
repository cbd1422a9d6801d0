"""The SDK against a real socket: what it sends, what it repeats, and which error an answer becomes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from headrace.client.admin import Admin
from headrace.client.answers import error_from
from headrace.client.infer import Infer, Target
from headrace.client.predict import Headrace
from headrace.client.wire import TRIES
from headrace.types.errors import (
    BadInput,
    Conflict,
    Forbidden,
    HeadraceError,
    ModelRefused,
    NotFound,
    Overloaded,
    PlatformError,
    TimedOut,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UpstreamError,
)

JSON = {"content-type": "application/json"}


class Peer:
    """Answers as told, in order; the last answer again and again. Keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                peer.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status, headers, content = peer.answers.pop(0) if len(peer.answers) > 1 else peer.answers[0]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def say(self, content: Any, status: int = 200, **headers: str) -> None:
        self.answers.append((status, JSON | headers, json.dumps(content).encode()))

    def stream(self, *lines: Any) -> None:
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        self.answers.append((200, {"content-type": "application/x-ndjson"}, body))


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "content", "kind", "message"),
    [
        (400, {"error": {"type": "bad_input", "message": "m", "field": "inputs[0]"}}, BadInput, "m"),
        (404, {"type": "https://headrace.dev/errors/not-found", "detail": "d", "status": 404}, NotFound, "d"),
        (409, {"type": "about:blank", "title": "Conflict", "detail": "second release"}, Conflict, "second release"),
        (422, {"type": "/errors/model_refused", "detail": "sha"}, ModelRefused, "sha"),
        (400, {"error": "input 'x' has shape [2]"}, BadInput, "input 'x' has shape [2]"),
        (401, {}, Unauthenticated, "answered 401"),
        (403, None, Forbidden, "answered 403"),
        (413, {"error": {"message": "m"}}, TooLarge, "m"),
        (418, {"error": {"message": "m"}}, BadInput, "m"),
        (503, {"error": {"type": "overloaded", "message": "full"}}, Overloaded, "full"),
        (502, {"error": {"type": "no_such_type", "message": "m"}}, UpstreamError, "m"),
        (504, ["not", "an", "object"], TimedOut, "answered 504"),
        (599, {}, PlatformError, "answered 599"),
    ],
)
def test_an_error_answer_becomes_its_class(
    peer: Peer, status: int, content: Any, kind: type[HeadraceError], message: str
) -> None:
    peer.say(content, status)
    with Headrace(peer.url) as headrace, pytest.raises(HeadraceError) as caught:
        headrace.feedback("tr-1", rating=True)
    assert type(caught.value) is kind
    assert message in caught.value.message


def test_an_error_keeps_its_parts() -> None:
    error = error_from(
        {"error": {"type": "bad_input", "message": "m", "field": "f", "hint": "h", "trace_id": "tr-1"}}, retry_after=2.0
    )
    assert (error.message, error.field, error.hint, error.trace_id) == ("m", "f", "h", "tr-1")
    assert error.retry_after == 2.0


def test_not_json_is_named(peer: Peer) -> None:
    peer.answers.append((500, {"content-type": "text/html"}, b"<html>"))
    with Admin(peer.url) as admin, pytest.raises(PlatformError, match="answered 500"):
        admin.move_stage("digits", 1, "Production")
    peer.answers[:] = [(200, {"content-type": "text/html"}, b"<html>")]
    with Admin(peer.url) as admin, pytest.raises(UpstreamError, match="not JSON"):
        admin.status()


def test_a_get_is_repeated_and_a_post_is_not(peer: Peer) -> None:
    peer.say({}, 503)
    with Admin(peer.url) as admin:
        with pytest.raises(Unavailable):
            admin.status()
        assert len(peer.asked) == TRIES
        with pytest.raises(Unavailable):
            admin.promote("rel_1")
        assert len(peer.asked) == TRIES + 1


def test_a_get_succeeds_once_the_peer_does(peer: Peer) -> None:
    peer.say({}, 503, **{"retry-after": "0.01"})
    peer.say({"ok": True})
    with Admin(peer.url) as admin:
        assert admin.status() == {"ok": True}


def test_a_callers_mistake_is_not_repeated(peer: Peer) -> None:
    peer.say({}, 404)
    with Admin(peer.url) as admin, pytest.raises(NotFound):
        admin.endpoint("none")
    assert len(peer.asked) == 1


def test_nobody_listens() -> None:
    with Headrace("http://127.0.0.1:1") as headrace, pytest.raises(Unavailable) as caught:
        headrace.predict("digits", [[0]])
    assert "no Headrace answers at http://127.0.0.1:1" in caught.value.message
    assert "headrace up" in (caught.value.hint or "")


def test_progress_then_result(peer: Peer) -> None:
    peer.stream({"progress": "resolving"}, {"progress": "converting"}, {"result": {"name": "digits"}})
    told: list[str] = []
    with Admin(peer.url, token="s3cret", actor="ann") as admin:
        assert admin.deploy("a/b", "models:/digits/1", on_progress=told.append) == {"name": "digits"}
    assert told == ["resolving", "converting"]
    method, path, headers, body = peer.asked[0]
    assert (method, path) == ("POST", "/api/v1/endpoints/a%2Fb/deploy")
    assert json.loads(body) == {"model": "models:/digits/1"}
    assert headers["authorization"] == "Bearer s3cret"
    assert headers["x-headrace-actor"] == "ann"
    assert headers["accept"] == "application/x-ndjson"


def test_progress_then_error(peer: Peer) -> None:
    peer.stream({"progress": "converting"}, {"error": {"type": "model_refused", "message": "parity", "status": 422}})
    with Admin(peer.url) as admin, pytest.raises(ModelRefused, match="parity"):
        admin.release("digits", "models:/digits/2", plan={"min_seconds": 2})
    assert json.loads(peer.asked[0][3]) == {"candidate": "models:/digits/2", "plan": {"min_seconds": 2}}


def test_a_stream_that_breaks_off(peer: Peer) -> None:
    peer.stream({"progress": "converting"})
    with Admin(peer.url) as admin:
        with pytest.raises(Unavailable, match="ended before it was done"):
            admin.deploy("digits", "models:/digits/1")
        peer.answers[:] = [(200, {"content-type": "application/x-ndjson"}, b"oops\n")]
        with pytest.raises(UpstreamError, match="oops"):
            admin.deploy("digits", "models:/digits/1")


def test_plain_answers_to_a_stream(peer: Peer) -> None:
    peer.say({"detail": "there is a release on digits", "type": "conflict"}, 409)
    with Admin(peer.url) as admin:
        with pytest.raises(Conflict):
            admin.release("digits", "models:/digits/2")
        peer.answers.clear()
        peer.say({"id": "rel_1"})
        assert admin.release("digits", "models:/digits/2") == {"id": "rel_1"}


def test_lists_under_their_name_or_bare(peer: Peer) -> None:
    peer.say({"releases": [{"id": "rel_1"}]})
    peer.say([{"id": "rel_2"}])
    with Admin(peer.url) as admin:
        assert admin.releases(endpoint="digits") == [{"id": "rel_1"}]
        assert admin.releases() == [{"id": "rel_2"}]
    assert [path for _, path, _, _ in peer.asked] == ["/api/v1/releases?endpoint=digits", "/api/v1/releases"]


def test_export_is_written_in_pieces(peer: Peer) -> None:
    peer.answers.append((200, {"content-type": "text/csv", "x-headrace-dataset": "ds_1"}, b"a,b\n1,2\n"))
    pieces: list[bytes] = []
    with Admin(peer.url) as admin:
        headers = admin.export(pieces.append, format="csv", endpoint=None)
    assert b"".join(pieces) == b"a,b\n1,2\n"
    assert headers["x-headrace-dataset"] == "ds_1"
    assert peer.asked[0][1] == "/export?format=csv"
    peer.answers[:] = [(400, JSON, b'{"error": {"type": "bad_input", "message": "format is \'xls\'"}}')]
    with Admin(peer.url) as admin, pytest.raises(BadInput, match="xls"):
        admin.export(pieces.append, format="xls")


def test_prediction_and_feedback(peer: Peer) -> None:
    peer.say({"result": [3], "trace_id": "tr-1", "model_version": 2, "latency_ms": 1.5})
    peer.say({"trace_id": "tr-1", "feedback": ["fb_1"]})
    with Headrace(peer.url, key="k") as headrace:
        answer = headrace.predict("digits", [[0] * 64], user="ann", version=2)
        assert (answer.result, answer.trace_id, answer.model_version, answer.latency_ms) == ([3], "tr-1", "2", 1.5)
        assert headrace.feedback("tr-1", rating=False, correction=[3], rater="ann") == ("fb_1",)
    first, second = (json.loads(body) for _, _, _, body in peer.asked)
    assert first == {"model": "digits", "inputs": [[0] * 64], "user": "ann", "version": 2}
    assert second == {"trace_id": "tr-1", "user_rating": False, "corrected_output": [3], "rater": "ann"}
    assert peer.asked[0][2]["authorization"] == "Bearer k"


def test_a_colour_goes_with_a_call_and_comes_back(peer: Peer) -> None:
    told = {"result": [3], "trace_id": "tr-1", "model_version": 2, "latency_ms": 1.5}
    peer.say(told, **{"x-headrace-colour": "digits=v2,scores=v1"})
    peer.say(told)
    with Headrace(peer.url) as headrace:
        first = headrace.predict("digits", [[0]], colour="scores=v1")
        assert headrace.predict("digits", [[0]]).colour == ""
    assert first.colour == "digits=v2,scores=v1"
    assert peer.asked[0][2]["x-headrace-colour"] == "scores=v1"
    assert "x-headrace-colour" not in peer.asked[1][2]


def test_a_colour_goes_with_every_call_of_a_file(peer: Peer) -> None:
    peer.say({"inputs": [], "outputs": []})
    infer = Infer(Target(url=peer.url, endpoint="digits", colour="digits=v2"))
    infer.interface()
    infer.close()
    assert peer.asked[0][2]["x-headrace-colour"] == "digits=v2"


def test_health_of_a_plane_that_is_not_ready(peer: Peer) -> None:
    peer.say({"status": "starting"}, 503)
    with Headrace(peer.url) as headrace:
        assert headrace.health() == {"status": "starting"}
    assert len(peer.asked) == 1
    peer.answers[:] = [(500, {"content-type": "text/plain"}, b"oops")]
    with Headrace(peer.url) as headrace, pytest.raises(PlatformError):
        headrace.health()
