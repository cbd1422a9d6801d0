"""What belongs to the control plane is passed on to it, with few headers and in a stream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from http_edge import Answer, Http
from plane_samples import endpoint, package, plan

from headrace.traffic.keys import key_hash


class Control(BaseHTTPRequestHandler):
    """Remembers what it was asked, answers by the path."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, str, dict[str, str], bytes]]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if self.path.startswith("/export"):
            self._stream(broken="broken" in self.path)
            return
        missing = "none" in self.path
        self.send_response(404 if missing else 200)
        for name, value in (("Content-Type", "application/json"), ("Set-Cookie", "a=b"), ("Keep-Alive", "timeout=5")):
            self.send_header(name, value)
        if "stage" in self.path:
            self.send_header("x-headrace-revision", "2")
        answer = b'{"path": "%b"}' % self.path.encode()
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def _stream(self, *, broken: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Content-Disposition", 'attachment; filename="x.jsonl"')
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(200):
            line = b'{"row": %d}\n' % number
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        if not broken:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        return


class Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that hung up; some tests do."""


@pytest.fixture
def control() -> Iterator[ThreadingHTTPServer]:
    Control.asked = []
    server = Quiet(("127.0.0.1", 0), Control)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


async def test_path_query_body_and_answer_pass(control: ThreadingHTTPServer) -> None:
    http = Http(control=url(control))
    answer = await http.call("GET", "/models/my model/versions?limit=5", headers={"accept": "application/json"})
    assert (answer.status, answer.json()) == (200, {"path": "/models/my%20model/versions?limit=5"})
    (asked,) = Control.asked
    assert asked[:2] == ("GET", "/models/my%20model/versions?limit=5")


async def test_few_headers_pass(control: ThreadingHTTPServer) -> None:
    http = Http(control=url(control))
    sent = {
        "authorization": "Bearer mine",
        "cookie": "session=1",
        "connection": "keep-alive, x-secret",
        "x-secret": "1",
        "x-api-key": "k",
        "proxy-authorization": "p",
        "x-headrace-actor": "alice",
    }
    answer = await http.call("GET", "/models", headers=sent)
    seen = Control.asked[0][2]
    assert (seen["authorization"], seen["x-headrace-actor"]) == ("Bearer mine", "alice")
    assert not {"cookie", "x-secret", "x-api-key", "proxy-authorization", "connection"} & set(seen)
    assert not {"set-cookie", "keep-alive", "connection", "transfer-encoding", "server"} & set(answer.headers)


async def test_without_authorization_none_is_made_up(control: ThreadingHTTPServer) -> None:
    await Http(control=url(control)).call("GET", "/models")
    assert "authorization" not in Control.asked[0][2]


async def test_errors_of_the_control_plane_pass(control: ThreadingHTTPServer) -> None:
    assert (await Http(control=url(control)).call("GET", "/models/none/versions")).status == 404


async def test_a_stream_passes_whole(control: ThreadingHTTPServer) -> None:
    answer = await Http(control=url(control)).call("GET", "/export?format=jsonl")
    assert answer.complete
    assert len(answer.body.splitlines()) == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="x.jsonl"'


async def test_a_stream_that_breaks_off_is_not_completed(control: ThreadingHTTPServer) -> None:
    answer = await Http(control=url(control)).call("GET", "/export?broken=1")
    assert answer.status == 200
    assert not answer.complete


async def test_a_caller_that_hangs_up_ends_the_stream(control: ThreadingHTTPServer) -> None:
    http = Http(control=url(control))
    answer = await http.call("GET", "/export", hang_up=True)
    assert not answer.complete


async def move(http: Http) -> Answer:
    return await http.call("POST", "/models/toy/stage", {"version": 2, "stage": "Production"})


async def test_a_stage_move_is_answered_when_it_is_in_force(control: ThreadingHTTPServer) -> None:
    http = await Http(control=url(control)).serve(endpoint(package(1)))
    moving = asyncio.create_task(move(http))
    while not Control.asked:
        await asyncio.sleep(0.005)
    assert not moving.done()
    await http.apply(plan(2, endpoint(package(2))))
    answer = await moving
    assert (answer.status, Control.asked[0][3]) == (200, b'{"version": 2, "stage": "Production"}')
    assert (await http.predict([[1, 2, 3]])).json()["model_version"] == 2


async def test_a_stage_move_that_this_plane_refuses_is_not_called_done(control: ThreadingHTTPServer) -> None:
    http = await Http(control=url(control)).serve(endpoint(package(1)))
    http.verifier.damaged.add(2)
    moving = asyncio.create_task(move(http))
    await asyncio.sleep(0)
    await http.apply(plan(2, endpoint(package(2))))
    answer = await moving
    assert answer.status == 503
    assert "another sha256" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/models"), ("GET", "/models/x/versions"), ("POST", "/models/x/stage"), ("GET", "/export")],
)
async def test_without_a_control_plane_it_says_so(method: str, path: str) -> None:
    answer = await Http().call(method, path)
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert "control plane does not answer" in answer.json()["error"]["message"]


async def test_keys_are_asked_for_here_too() -> None:
    http = await Http().serve(keys=(key_hash("secret"),))
    assert (await http.call("GET", "/models")).status == 401
